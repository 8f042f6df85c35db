import { flushCompileCache } from 'node:module';
import { argv } from 'node:process';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { defaultEngine } from '../../sdk/src/peer/default.node.ts';
import { serveParent } from '../support/remote.ts';
import { createEnd, type End } from './end.ts';

// Usage: node node-end.ts werift|default, with an IPC channel
const rtc = argv[2] === 'werift' ? weriftEngine : undefined;
serveParent<End>(createEnd(rtc, (rtc ?? (await defaultEngine())).name));
// It is written at a process's end, and this one is killed.
flushCompileCache();
