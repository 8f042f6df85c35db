/** Where things are in the drawing, for wide and for narrow windows. Pure geometry. */
export interface Point {
  x: number;
  y: number;
}

export interface Scene {
  width: number;
  height: number;
  here: Point;
  there: Point;
  relay: Point;
  turn: Point;
  /** Half the width and height of a peer's box. */
  box: { w: number; h: number };
  /** From each peer's box to the relay, as paths. */
  toRelay: { here: string; there: string };
  /** From the box here to the box there. */
  direct: string;
  throughTurn: string;
  /** On the ways to the relay, where a break is drawn. */
  signalMiddle: { here: Point; there: Point };
  /** Middle of the way, where its label is. */
  middle: { direct: Point; turn: Point };
  /** Where a NAT is drawn. */
  nat: { here: Point; there: Point };
}

export const wide: Scene = {
  width: 880,
  height: 292,
  here: { x: 130, y: 194 },
  there: { x: 750, y: 194 },
  relay: { x: 440, y: 40 },
  turn: { x: 440, y: 266 },
  box: { w: 112, h: 46 },
  toRelay: { here: 'M130 148 C 130 66, 250 40, 350 40', there: 'M750 148 C 750 66, 630 40, 530 40' },
  signalMiddle: { here: { x: 202, y: 63 }, there: { x: 678, y: 63 } },
  direct: 'M242 194 L 638 194',
  throughTurn: 'M242 194 C 300 194, 300 266, 380 266 L 500 266 C 580 266, 580 194, 638 194',
  middle: { direct: { x: 440, y: 194 }, turn: { x: 440, y: 218 } },
  nat: { here: { x: 284, y: 194 }, there: { x: 596, y: 194 } },
};

export const narrow: Scene = {
  width: 360,
  height: 420,
  here: { x: 130, y: 126 },
  there: { x: 130, y: 352 },
  relay: { x: 262, y: 32 },
  turn: { x: 290, y: 239 },
  box: { w: 112, h: 40 },
  toRelay: { here: 'M130 86 C 130 50, 150 32, 172 32', there: 'M242 352 C 345 352, 352 180, 330 54' },
  signalMiddle: { here: { x: 143, y: 45 }, there: { x: 333, y: 250 } },
  direct: 'M130 166 L 130 312',
  throughTurn: 'M130 166 C 130 200, 290 190, 290 216 L 290 262 C 290 288, 130 278, 130 312',
  middle: { direct: { x: 130, y: 239 }, turn: { x: 130, y: 239 } },
  nat: { here: { x: 130, y: 186 }, there: { x: 130, y: 292 } },
};

/** Points along a path for an animation, from its beginning to its end. */
export function along(path: SVGPathElement, backwards: boolean): Point[] {
  const steps = 14;
  const length = path.getTotalLength();
  const points = Array.from({ length: steps + 1 }, (_, n) => path.getPointAtLength((length * n) / steps));
  return backwards ? points.toReversed() : points;
}
