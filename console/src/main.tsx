// oxlint-disable-next-line import/no-unassigned-import -- it is there for what it does
import './jitless.ts';
import { render } from 'preact';
import { App } from './app.tsx';

const root = document.getElementById('app');
if (root) render(<App />, root);
