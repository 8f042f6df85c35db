import { useEffect, useState } from 'preact/hooks';

/** A text as a QR code, black on white whatever the theme: that is what cameras expect. */
export function Qr({ text, label }: { text: string; label: string }) {
  const [code, setCode] = useState<{ size: number; path: string }>();
  useEffect(() => {
    let wanted = true;
    import('uqr').then(
      ({ encode }) => {
        const { data, size } = encode(text, { ecc: 'L', border: 3 });
        const cells = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
        if (wanted) setCode({ size, path: cells.join('') });
      },
      () => setCode(undefined), // the link below says the same
    );
    return () => {
      wanted = false;
    };
  }, [text]);
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${code?.size ?? 1} ${code?.size ?? 1}`}
      role="img"
      aria-label={label}
      shape-rendering="crispEdges"
    >
      {code && <path d={code.path} />}
    </svg>
  );
}
