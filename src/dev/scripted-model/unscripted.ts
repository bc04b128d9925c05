import type { Step } from './script.ts';

const FILE = 'scripted-model.md';

const TEXT = `# Written by the scripted model

No language model read your prompt. \`valetkey dev\` answers with a scripted model that costs nothing: the tokens and the
dollars of this job are made up, everything else (the key, the sandbox, the agent, the budget, this patch) is real.

To have a real model do the work, stop \`valetkey dev\` and start it with a key of the provider:

    ANTHROPIC_API_KEY=... valetkey dev --live      # for claude
    OPENAI_API_KEY=... valetkey dev --live         # for codex

To say what the scripted model does, put a block named "script" at the end of the prompt, a JSON array of steps:

    \`\`\`script
    [{ "run": "ls" }, { "write": { "path": "note.txt", "content": "hello" } }, { "say": "I wrote note.txt." }]
    \`\`\`
`;

/** What the scripted model does in `valetkey dev` where a prompt holds no script: real work, which says what it is. */
export const UNSCRIPTED: Step[] = [
  { say: 'No language model read this prompt: this is the scripted model of `valetkey dev`, and the prompt has no script. ' },
  { write: { path: FILE, content: TEXT } },
  {
    say: `I wrote ${FILE}, so that there is a patch: it says how to have a real model do the work (valetkey dev --live), and how to write a script.`,
  },
];
