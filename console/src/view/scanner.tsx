import { useEffect, useRef, useState } from 'preact/hooks';

/** https://wicg.github.io/shape-detection-api/#barcode-detection-api; not all browsers have it. */
interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}
interface DetectorClass {
  new (options: { formats: string[] }): Detector;
  getSupportedFormats(): Promise<string[]>;
}
const { BarcodeDetector } = globalThis as { BarcodeDetector?: DetectorClass };

const everyMs = 200;

/** Whether this browser can read QR codes. Over plain http a page has no camera. */
export async function canScan(): Promise<boolean> {
  if (!BarcodeDetector || !isSecureContext) return false;
  return (await BarcodeDetector.getSupportedFormats()).includes('qr_code');
}

/** The camera, until it sees a QR code. */
export function Scanner({ onfound, onclose }: { onfound: (text: string) => void; onclose: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [wrong, setWrong] = useState('');
  useEffect(() => {
    const stopped = new AbortController();
    scan(video.current!, stopped.signal).then(
      (text) => text !== undefined && onfound(text),
      (error: unknown) => setWrong(`The camera cannot be used: ${(error as Error).message}`),
    );
    return () => stopped.abort();
  }, []);
  return (
    <div class="scanner">
      {wrong ? (
        <p class="wrong" role="alert">
          {wrong}
        </p>
      ) : (
        <video ref={video} playsInline muted aria-label="What the camera sees" />
      )}
      <div class="row">
        <span class="muted grow">{!wrong && 'Point the camera at the QR code of an invitation.'}</span>
        <button type="button" onClick={onclose}>
          Close the camera
        </button>
      </div>
    </div>
  );
}

async function scan(video: HTMLVideoElement, stopped: AbortSignal): Promise<string | undefined> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  try {
    if (stopped.aborted) return undefined;
    video.srcObject = stream;
    await video.play();
    const detector = new BarcodeDetector!({ formats: ['qr_code'] });
    while (!stopped.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- one picture after the other
      const [found] = await detector.detect(video);
      if (found && !stopped.aborted) return found.rawValue;
      // oxlint-disable-next-line no-await-in-loop -- see above
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    return undefined;
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}
