import type { Command } from 'commander';
import type { ToolLists } from './tool-filter.ts';

export interface CallFlags extends ToolLists {
  audit?: string;
}

/** Adds what an operator can say about the calls to a shared server. */
export function ruling(command: Command): Command {
  return command
    .option(
      '--allow-tools <names>',
      'share only these tools of the server: names separated by commas; * stands for any characters',
      collect,
    )
    .option('--deny-tools <names>', 'do not share these tools, even if --allow-tools names them', collect)
    .option(
      '--audit <file>',
      'append a JSON line to this file for each call of a tool: who called which tool when, and the outcome',
    );
}

const collect = (value: string, before: string[] = []) => [...before, value];

export const callsHelp = `
Tools: with --allow-tools or --deny-tools, clients do not see the other tools of the server, and cannot call them. With --config, an entry
can also have its own lists: "rendezvous": { "denyTools": ["delete_*"] }. The lines of --audit have neither arguments nor results.
`;
