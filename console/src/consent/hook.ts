import type { RefObject } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Settling } from './settling.ts';

interface Settled<T> {
  /** For the element that is pressed. */
  ref: RefObject<T | null>;
  /** Whether a press would count now. */
  live: boolean;
  /** Whether the press that is being handled counts. */
  admit: () => boolean;
}

/**
 * Holds an element back until it has stood for the same thing at the same place of the screen for
 * long enough: see {@link Settling}.
 */
export function useSettled<T extends Element>(standsFor: string): Settled<T> {
  const ref = useRef<T>(null);
  const stands = useRef(standsFor);
  stands.current = standsFor;
  const [live, setLive] = useState(false);
  const [settling] = useState(() => new Settling(() => performance.now()));
  const observe = (): void => settling.observe(`${placeOf(ref.current)} ${stands.current}`);
  useLayoutEffect(observe); // what this rendering shows counts from now on
  useLayoutEffect(() => {
    const frame = (): void => {
      observe();
      setLive(settling.settled);
    };
    frames.add(frame);
    schedule();
    const leave = watchPresses(settling, observe);
    return () => {
      frames.delete(frame);
      leave();
    };
  }, []);
  const admit = (): boolean => {
    observe();
    const admitted = settling.admit();
    setLive(settling.settled);
    return admitted;
  };
  return { ref, live, admit };
}

const frames = new Set<() => void>();
let scheduled = false;

/** One frame after the other, for all elements of the page together. */
function schedule(): void {
  if (scheduled || frames.size === 0) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    for (const frame of frames) frame();
    schedule();
  });
}

/**
 * Tells of every key and pointer that goes down and up: a press may begin elsewhere, as Enter in a
 * field does.
 */
function watchPresses(settling: Settling, observe: () => void): () => void {
  const over = new AbortController();
  const options = { capture: true, passive: true, signal: over.signal };
  let presses = 0;
  const down = (repeat: boolean): void => {
    presses += 1;
    observe();
    settling.press(repeat);
  };
  // The click follows within the same task, and perhaps another press before the timer.
  const up = (): void => {
    const press = presses;
    setTimeout(() => press === presses && settling.release());
  };
  addEventListener('pointerdown', () => down(false), options);
  addEventListener('keydown', ({ repeat }) => down(repeat), options);
  for (const type of ['pointerup', 'pointercancel', 'keyup']) addEventListener(type, up, options);
  // The rest of the press may be another window's.
  addEventListener('blur', ({ target }) => target === window && up(), options);
  return () => over.abort();
}

/** Where it is on the screen. */
function placeOf(element: Element | null): string {
  const { x = 0, y = 0, width = 0, height = 0 } = element?.getBoundingClientRect() ?? {};
  return [x, y, width, height].map(Math.round).join(' ');
}
