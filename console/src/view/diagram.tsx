import { useEffect, useRef, useState } from 'preact/hooks';
import type { Journal, StepName, Way } from '../observe/journal.ts';
import { relayHost } from '../place.ts';
import { along, narrow, type Scene, wide } from './scene.ts';
import { visible } from './text.tsx';

export type Phase = 'idle' | 'connecting' | 'connected' | 'recovering' | 'closed' | 'failed';

export interface Path {
  /** Kinds of the two candidates in use: `host`, `srflx`, `prflx`, `relay`; empty while there is none. */
  local: string;
  remote: string;
  protocol: string;
}

export interface DiagramProps {
  phase: Phase;
  /** The end at the left, which is this page. */
  here: { title: string; detail: string };
  there: { title: string; detail: string };
  path: Path | undefined;
  /** What stands on the line: the round trip. */
  label: string;
  /** In words, for those who do not see it. */
  caption: string;
  journal?: Journal | undefined;
  done: Partial<Record<StepName, number>>;
  failedAt?: StepName | undefined;
}

/** Dots that travel at the same time; a flood of messages is a stream of dots. */
const mostDots = 10;

const narrowWindow = window.matchMedia('(max-width: 700px)');

/** Both ends, the relay that introduced them, and the way that their messages take. */
export function Diagram({ phase, here, there, path, label, caption, journal, done, failedAt }: DiagramProps) {
  const scene = useScene();
  const svg = useRef<SVGSVGElement>(null);
  useEffect(() => (journal && svg.current ? animate(journal, svg.current) : undefined), [journal, scene]);
  const turn = path?.local === 'relay' || path?.remote === 'relay';
  const broken = failedAt && breakPoint(failedAt, scene);
  const standing = phase === 'connected' || phase === 'recovering';
  return (
    <svg
      ref={svg}
      class={`diagram ${phase}`}
      viewBox={`0 0 ${scene.width} ${scene.height}`}
      role="img"
      aria-label={caption}
      data-phase={phase}
    >
      <path class={`signal ${reached(done, 'room', phase)}`} data-way="here" d={scene.toRelay.here} />
      <path class={`signal ${reached(done, 'answer', phase)}`} data-way="there" d={scene.toRelay.there} />
      <path class={`way ${standing && !turn ? 'used' : ''}`} data-way={turn ? undefined : 'peer'} d={scene.direct} />
      {turn && <path class="way used" data-way="peer" d={scene.throughTurn} />}
      {turn && <Hub at={scene.turn} title="TURN server" detail="" kind="turn" />}
      {standing && !turn && isNat(path?.local) && <Nat at={scene.nat.here} scene={scene} />}
      {standing && !turn && isNat(path?.remote) && <Nat at={scene.nat.there} scene={scene} />}
      <g class="dots" />
      <Hub at={scene.relay} title="Relay" detail={relayHost} kind="relay" />
      <Peer at={scene.here} scene={scene} title={here.title} detail={here.detail} on={phase !== 'idle'} />
      <Peer at={scene.there} scene={scene} title={there.title} detail={there.detail} on={done.peer !== undefined} />
      {label && <Label at={turn ? scene.middle.turn : scene.middle.direct} text={label} locked={standing} />}
      {broken && (
        <g class="break" transform={`translate(${broken.x} ${broken.y})`}>
          <circle r="13" />
          <path d="m-5 -5 10 10M5 -5l-10 10" />
        </g>
      )}
    </svg>
  );
}

function useScene(): Scene {
  const [isNarrow, setNarrow] = useState(narrowWindow.matches);
  useEffect(() => {
    const changed = (): void => setNarrow(narrowWindow.matches);
    narrowWindow.addEventListener('change', changed);
    return () => narrowWindow.removeEventListener('change', changed);
  }, []);
  return isNarrow ? narrow : wide;
}

const reached = (done: DiagramProps['done'], step: StepName, phase: Phase): string =>
  done[step] !== undefined ? 'done' : phase === 'connecting' ? 'running' : '';

/** A peer-reflexive candidate may come from a NAT, or from a host whose own candidate came later: nothing is claimed of it. */
const isNat = (kind: string | undefined): boolean => kind === 'srflx';

function breakPoint(step: StepName, { there, signalMiddle, middle, box }: Scene) {
  switch (step) {
    case 'relay':
    case 'room':
      return signalMiddle.here;
    case 'peer':
    case 'answer':
      return signalMiddle.there;
    case 'path':
    case 'secure':
    case 'channel':
    case 'session':
      return middle.direct;
    case 'first':
      return { x: there.x, y: there.y - box.h };
  }
}

/** What a box has room for. */
const fit = (text: string, most: number): string => {
  const shown = visible(text);
  return shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
};

function Peer({
  at,
  scene,
  title,
  detail,
  on,
}: {
  at: { x: number; y: number };
  scene: Scene;
  title: string;
  detail: string;
  on: boolean;
}) {
  const { w, h } = scene.box;
  return (
    <g class={`peer ${on ? 'on' : ''}`} transform={`translate(${at.x} ${at.y})`}>
      <rect x={-w} y={-h} width={2 * w} height={2 * h} rx="14" />
      <text class={title.length > 20 ? 'title long' : 'title'} y={detail ? -4 : 6}>
        {fit(title, 27)}
      </text>
      <text class="detail" y="19">
        {fit(detail, 30)}
      </text>
    </g>
  );
}

const Hub = ({
  at,
  title,
  detail,
  kind,
}: {
  at: { x: number; y: number };
  title: string;
  detail: string;
  kind: string;
}) => (
  <g class={`hub ${kind}`} transform={`translate(${at.x} ${at.y})`}>
    <rect x={kind === 'relay' ? -90 : -58} y="-22" width={kind === 'relay' ? 180 : 116} height="44" rx="22" />
    <text class="title" y={detail ? -2 : 5}>
      {title}
    </text>
    {detail && (
      <text class="detail" y="13">
        {fit(detail, 26)}
      </text>
    )}
  </g>
);

const Nat = ({ at, scene }: { at: { x: number; y: number }; scene: Scene }) => (
  <g class="nat" transform={`translate(${at.x} ${at.y})`}>
    <rect
      {...(scene === wide ? { x: -4, y: -24, width: 8, height: 48 } : { x: -24, y: -4, width: 48, height: 8 })}
      rx="3"
    />
    <text {...(scene === wide ? { y: -32 } : { x: 44, y: 4 })}>NAT</text>
  </g>
);

function Label({ at, text, locked }: { at: { x: number; y: number }; text: string; locked: boolean }) {
  const width = text.length * 7.6 + (locked ? 50 : 28);
  return (
    <g class="label" transform={`translate(${at.x} ${at.y})`}>
      <rect x={-width / 2} y="-16" width={width} height="32" rx="16" />
      {locked && (
        <path
          class="lock"
          transform={`translate(${-width / 2 + 11} -8)`}
          d="M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5"
        />
      )}
      <text x={locked ? 10 : 0} y="5">
        {text}
      </text>
    </g>
  );
}

const ways: Record<Way, { path: string; backwards: boolean }[]> = {
  'to-relay': [{ path: 'here', backwards: false }],
  'from-relay': [{ path: 'here', backwards: true }],
  'to-peer': [{ path: 'peer', backwards: false }],
  'from-peer': [{ path: 'peer', backwards: true }],
};

/** Lets a dot travel for everything that does. */
function animate(journal: Journal, svg: SVGSVGElement): () => void {
  const dots = svg.querySelector('.dots');
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  const watcher = (way: Way): void => {
    if (!dots || calm.matches || document.hidden || dots.childElementCount >= mostDots) return;
    for (const { path: name, backwards } of ways[way]) {
      const path = svg.querySelector<SVGPathElement>(`path[data-way="${name}"]`);
      if (!path) continue;
      const dot = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
      dot.setAttribute('r', name === 'peer' ? '5.5' : '3.5');
      dot.setAttribute('class', name === 'peer' ? 'dot' : 'dot signalling');
      dots.append(dot);
      const frames = along(path, backwards).map(({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` }));
      const flight = dot.animate(frames, { duration: name === 'peer' ? 700 : 500, easing: 'ease-in-out' });
      flight.onfinish = () => dot.remove();
      flight.oncancel = () => dot.remove();
    }
  };
  journal.watchers.add(watcher);
  return () => {
    journal.watchers.delete(watcher);
    dots?.replaceChildren();
  };
}
