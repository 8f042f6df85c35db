import type { Engine } from './engine.ts';
import { weriftEngine } from './werift.ts';

/** Node has no engine of its own. */
export const defaultEngine = (): Engine => weriftEngine;
