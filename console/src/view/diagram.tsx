import { useEffect, useRef, useState } from 'preact/hooks';
import type { Path } from 'mcp-rendezvous';
import type { Journal, RelayLine, StepName, Way } from '../observe/journal.ts';
import { relayHost } from '../place.ts';
import { along, type Point, type Scene, sceneFor } from './scene.ts';
import { visible } from './text.tsx';

export type Phase = 'idle' | 'connecting' | 'connected' | 'recovering' | 'closed' | 'failed';

export interface DiagramProps {
  phase: Phase;
  /** The end at the left, which is this page. */
  here: { title: string; detail: string };
  there: { title: string; detail: string };
  /** Over what the data goes, or went last; undefined while there is no session. */
  path: Path | undefined;
  /** Kinds of the two candidates in use: `host`, `srflx`, `prflx`, `relay`. */
  candidates?: { local: string; remote: string } | undefined;
  relay: RelayLine;
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
export function Diagram(props: DiagramProps) {
  const { phase, here, there, path, candidates, relay, label, caption, journal, done, failedAt } = props;
  const standing = phase === 'connected' || phase === 'recovering';
  const scene = useScene(standing);
  const svg = useRef<SVGSVGElement>(null);
  useEffect(() => (journal && svg.current ? animate(journal, svg.current) : undefined), [journal, scene]);
  const broken = failedAt && breakPoint(failedAt, scene);
  // Without a path nothing is in use: what was is drawn as lost.
  const way = standing ? path : undefined;
  const used = phase === 'connected' ? 'used' : 'lost';
  const middle = scene.middle[way ?? 'direct'];
  return (
    <svg
      ref={svg}
      class={`diagram ${scene.name} ${phase}`}
      viewBox={`0 0 ${scene.width} ${scene.height}`}
      role="img"
      aria-label={caption}
      data-phase={phase}
      data-path={used === 'used' ? way : undefined}
      data-relay={relay}
    >
      <path class={`signal ${line(relay, reached(done, 'room', phase))}`} data-way="here" d={scene.toRelay.here} />
      <path class={`signal ${line(relay, reached(done, 'answer', phase))}`} d={scene.toRelay.there} />
      <path class="way" d={scene.direct} />
      {/* Each is drawn anew when the session moves to it, along the way that its data takes. */}
      {way === 'relayed' && <path class={`way ${used}`} data-way="peer" pathLength="1" d={scene.toRelay.here} />}
      {way === 'relayed' && (
        <path class={`way ${used}`} data-way="peer" data-backwards pathLength="1" d={scene.toRelay.there} />
      )}
      {way === 'direct' && <path class={`way ${used}`} data-way="peer" pathLength="1" d={scene.direct} />}
      {way === 'turn' && <path class={`way ${used}`} data-way="peer" pathLength="1" d={scene.throughTurn} />}
      {way === 'turn' && <Hub at={scene.turn} title="TURN server" detail="" kind="turn" />}
      {way === 'direct' && isNat(candidates?.local) && <Nat at={scene.nat.here} upright={scene.nat.upright} />}
      {way === 'direct' && isNat(candidates?.remote) && <Nat at={scene.nat.there} upright={scene.nat.upright} />}
      <g class="dots" />
      <Hub
        at={scene.relay}
        title="Relay"
        detail={relay === 'offline' ? relayOffline(way) : relayHost}
        kind={relay === 'offline' ? 'relay offline' : 'relay'}
      />
      <Peer at={scene.here} scene={scene} title={here.title} detail={here.detail} on={phase !== 'idle'} />
      <Peer at={scene.there} scene={scene} title={there.title} detail={there.detail} on={done.peer !== undefined} />
      {label && <Label at={middle} text={label} locked={phase === 'connected'} />}
      {relay === 'offline' && <Break at={scene.signalMiddle.here} />}
      {broken && <Break at={broken} />}
    </svg>
  );
}

/** It introduces peers, and carries what has no better path. */
const relayOffline = (way: Path | undefined): string =>
  way === 'direct' || way === 'turn' ? 'offline, not needed' : 'offline';

const line = (relay: RelayLine, otherwise: string): string => (relay === 'offline' ? 'offline' : otherwise);

const Break = ({ at }: { at: Point }) => (
  <g class="break" transform={`translate(${at.x} ${at.y})`}>
    <circle r="13" />
    <path d="m-5 -5 10 10M5 -5l-10 10" />
  </g>
);

function useScene(isStrip: boolean): Scene {
  const [isNarrow, setNarrow] = useState(narrowWindow.matches);
  useEffect(() => {
    const changed = (): void => setNarrow(narrowWindow.matches);
    narrowWindow.addEventListener('change', changed);
    return () => narrowWindow.removeEventListener('change', changed);
  }, []);
  return sceneFor(isNarrow, isStrip);
}

const reached = (done: DiagramProps['done'], step: StepName, phase: Phase): string =>
  done[step] !== undefined ? 'done' : phase === 'connecting' ? 'running' : '';

/**
 * A peer-reflexive candidate may come from a NAT, or from a host whose own candidate came later:
 * nothing is claimed of it.
 */
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
  const { w, h, characters } = scene.box;
  const long = title.length > characters * 0.74;
  return (
    <g class={`peer ${on ? 'on' : ''}`} transform={`translate(${at.x} ${at.y})`}>
      <rect x={-w} y={-h} width={2 * w} height={2 * h} rx="14" />
      <text class={long ? 'title long' : 'title'} y={detail ? -4 : 6}>
        {fit(title, characters)}
      </text>
      <text class="detail" y="19">
        {fit(detail, characters + 3)}
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
    <rect x={kind === 'turn' ? -58 : -90} y="-22" width={kind === 'turn' ? 116 : 180} height="44" rx="22" />
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

const Nat = ({ at, upright }: { at: Point; upright: boolean }) => (
  <g class="nat" transform={`translate(${at.x} ${at.y})`}>
    <rect {...(upright ? { x: -4, y: -24, width: 8, height: 48 } : { x: -24, y: -4, width: 48, height: 8 })} rx="3" />
    <text {...(upright ? { y: -32 } : { x: 44, y: 4 })}>NAT</text>
  </g>
);

function Label({ at, text, locked }: { at: { x: number; y: number }; text: string; locked: boolean }) {
  const width = text.length * 7.6 + (locked ? 50 : 28);
  return (
    <g class="label" style={{ transform: `translate(${at.x}px, ${at.y}px)` }}>
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

/** Lets a dot travel for everything that does. */
function animate(journal: Journal, svg: SVGSVGElement): () => void {
  const dots = svg.querySelector('.dots');
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  const watcher = (way: Way): void => {
    if (!dots || calm.matches || document.hidden || dots.childElementCount >= mostDots) return;
    const toPeer = way === 'to-peer' || way === 'from-peer';
    const back = way === 'from-relay' || way === 'from-peer';
    // Over the relay it has two parts.
    const parts = [...svg.querySelectorAll<SVGPathElement>(`path[data-way="${toPeer ? 'peer' : 'here'}"]`)];
    if (parts.length === 0) return;
    const points = parts.flatMap((part) => along(part, 'backwards' in part.dataset));
    const dot = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
    dot.setAttribute('r', toPeer ? '5.5' : '3.5');
    dot.setAttribute('class', toPeer ? 'dot' : 'dot signalling');
    dots.append(dot);
    const frames = (back ? points.toReversed() : points).map(({ x, y }) => ({
      transform: `translate(${x}px, ${y}px)`,
    }));
    const flight = dot.animate(frames, { duration: toPeer ? 700 : 500, easing: 'ease-in-out' });
    flight.onfinish = () => dot.remove();
    flight.oncancel = () => dot.remove();
  };
  journal.watchers.add(watcher);
  return () => {
    journal.watchers.delete(watcher);
    dots?.replaceChildren();
  };
}
