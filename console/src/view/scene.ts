/** Where things are in the drawing, for wide and for narrow windows. Pure geometry. */
export interface Point {
  x: number;
  y: number;
}

export interface Scene {
  name: 'wide' | 'narrow' | 'strip' | 'narrow-strip';
  width: number;
  height: number;
  here: Point;
  there: Point;
  relay: Point;
  turn: Point;
  /** Half the width and height of a peer's box, and the characters that it has room for. */
  box: { w: number; h: number; characters: number };
  /** From each peer's box to the relay, as paths. */
  toRelay: { here: string; there: string };
  /** From the box here to the box there. */
  direct: string;
  throughTurn: string;
  /** On the ways to the relay, where a break is drawn. */
  signalMiddle: { here: Point; there: Point };
  /** On each way, where its label is. */
  middle: { direct: Point; turn: Point; relayed: Point };
  /** Where a NAT is drawn; the line through it goes from left to right, or from top to bottom. */
  nat: { here: Point; there: Point; upright: boolean };
}

const wide: Scene = {
  name: 'wide',
  width: 880,
  height: 292,
  here: { x: 130, y: 194 },
  there: { x: 750, y: 194 },
  relay: { x: 440, y: 40 },
  turn: { x: 440, y: 266 },
  box: { w: 112, h: 46, characters: 27 },
  toRelay: { here: 'M130 148 C 130 66, 250 40, 350 40', there: 'M750 148 C 750 66, 630 40, 530 40' },
  signalMiddle: { here: { x: 202, y: 63 }, there: { x: 678, y: 63 } },
  direct: 'M242 194 L 638 194',
  throughTurn: 'M242 194 C 300 194, 300 266, 380 266 L 500 266 C 580 266, 580 194, 638 194',
  middle: { direct: { x: 440, y: 194 }, turn: { x: 440, y: 218 }, relayed: { x: 440, y: 92 } },
  nat: { here: { x: 284, y: 194 }, there: { x: 596, y: 194 }, upright: true },
};

const narrow: Scene = {
  name: 'narrow',
  width: 360,
  height: 420,
  here: { x: 130, y: 126 },
  there: { x: 130, y: 352 },
  relay: { x: 262, y: 32 },
  turn: { x: 290, y: 239 },
  box: { w: 112, h: 40, characters: 27 },
  toRelay: { here: 'M130 86 C 130 50, 150 32, 172 32', there: 'M242 352 C 345 352, 352 180, 330 54' },
  signalMiddle: { here: { x: 143, y: 45 }, there: { x: 333, y: 250 } },
  direct: 'M130 166 L 130 312',
  throughTurn: 'M130 166 C 130 200, 290 190, 290 216 L 290 262 C 290 288, 130 278, 130 312',
  middle: { direct: { x: 130, y: 239 }, turn: { x: 130, y: 239 }, relayed: { x: 296, y: 96 } },
  nat: { here: { x: 130, y: 186 }, there: { x: 130, y: 292 }, upright: false },
};

/** For a connection that stands: what it carries is more important than the drawing. */
const strip: Scene = {
  name: 'strip',
  width: 880,
  height: 132,
  here: { x: 118, y: 88 },
  there: { x: 762, y: 88 },
  relay: { x: 440, y: 26 },
  turn: { x: 440, y: 106 },
  box: { w: 112, h: 30, characters: 27 },
  toRelay: { here: 'M118 58 C 118 30, 210 26, 350 26', there: 'M762 58 C 762 30, 670 26, 530 26' },
  signalMiddle: { here: { x: 190, y: 34 }, there: { x: 690, y: 34 } },
  direct: 'M230 94 L 650 94',
  throughTurn: 'M230 94 C 270 94, 290 106, 340 106 L 540 106 C 590 106, 610 94, 650 94',
  middle: { direct: { x: 440, y: 94 }, turn: { x: 330, y: 105 }, relayed: { x: 440, y: 64 } },
  nat: { here: { x: 284, y: 94 }, there: { x: 596, y: 94 }, upright: true },
};

const narrowStrip: Scene = {
  name: 'narrow-strip',
  width: 360,
  height: 178,
  here: { x: 68, y: 112 },
  there: { x: 292, y: 112 },
  relay: { x: 180, y: 26 },
  turn: { x: 180, y: 153 },
  box: { w: 64, h: 32, characters: 15 },
  toRelay: { here: 'M56 80 C 56 40, 66 26, 90 26', there: 'M304 80 C 304 40, 294 26, 270 26' },
  signalMiddle: { here: { x: 60, y: 48 }, there: { x: 300, y: 48 } },
  direct: 'M132 112 L 228 112',
  throughTurn: 'M76 144 C 76 153, 90 153, 122 153 L 238 153 C 270 153, 284 153, 284 144',
  middle: { direct: { x: 180, y: 84 }, turn: { x: 180, y: 112 }, relayed: { x: 180, y: 66 } },
  nat: { here: { x: 146, y: 112 }, there: { x: 214, y: 112 }, upright: true },
};

export function sceneFor(isNarrow: boolean, isStrip: boolean): Scene {
  if (isNarrow) return isStrip ? narrowStrip : narrow;
  return isStrip ? strip : wide;
}

/** Points along a path for an animation, from its beginning to its end. */
export function along(path: SVGPathElement, backwards: boolean): Point[] {
  const steps = 14;
  const length = path.getTotalLength();
  const points = Array.from({ length: steps + 1 }, (_, n) => path.getPointAtLength((length * n) / steps));
  return backwards ? points.toReversed() : points;
}
