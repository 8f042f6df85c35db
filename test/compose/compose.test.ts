import { after } from 'node:test';
import { onLaptop } from './laptop.ts';
import { inProduction } from './production.ts';
import { rendered } from './rendered.ts';
import { Stack } from './stack.ts';

// With scripts/engine.sh. One after the other, because there is one project and one set of ports.
const stack = new Stack();
after(() => stack.down());

rendered(stack);
onLaptop(stack);
inProduction(stack);
