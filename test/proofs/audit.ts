import type { JobEvent } from '../../src/contract/events.ts';
import type { JobResult } from '../../src/contract/result.ts';
import type { Lane } from './lane.ts';
import { EXPECTED } from './script.ts';

/** What stands on record of one job that has ended. */
export interface Account {
  result: JobResult;
  /** One for each thing that must be told once: a word, a tool's state, the start of a turn. */
  facts: string[];
  /** Places in the order of the events that are empty. */
  gaps: number;
  /** Input tokens of its requests, in order: they tell how much of the conversation each held. */
  inputs: number[];
  patch: string;
}

/** Reads what was stored of a job, once it has ended. */
export async function account({ client, database }: Lane, jobId: string): Promise<Account> {
  const result = await client.jobs.result(jobId);
  const events: JobEvent[] = [];
  for await (const event of client.jobs.events(jobId, { follow: false })) events.push(event);
  const requests = await database.db
    .selectFrom('requests')
    .select('input_tokens')
    .where('ref', 'like', `${jobId}/%`)
    .where('input_tokens', '>', '0')
    .orderBy('started_at')
    .execute();
  const inputs = requests.map((request) => Number(request.input_tokens));
  const patch = (await client.jobs.artifact(jobId, 'patch'))?.content.toString() ?? '';
  return { result, facts: factsOf(events), gaps: (events.at(-1)?.seq ?? 0) - events.length, inputs, patch };
}

function factsOf(events: readonly JobEvent[]): string[] {
  const facts: string[] = [];
  /** Their ids are others in each job. */
  const tools: string[] = [];
  /** What the agent says goes on from event to event, the cuts are where they happen to be. */
  let said = { where: '', text: '' };
  const saidSoFar = (): string[] => (said.text.match(/\S+/g) ?? []).map((word) => `${said.where} ${word}`);
  for (const event of events) {
    if (event.type === 'message' || event.type === 'thought') {
      const where = `turn ${event.turn}: ${event.type}`;
      if (where !== said.where) facts.push(...saidSoFar());
      said = { where, text: where === said.where ? said.text + event.text : event.text };
      continue;
    }
    if (event.type === 'tool' || event.type === 'turn.ended') {
      facts.push(...saidSoFar());
      said = { where: '', text: '' };
    }
    facts.push(...factOf(event, tools));
  }
  return facts;
}

function factOf(event: JobEvent, tools: string[]): string[] {
  switch (event.type) {
    case 'tool': {
      if (!tools.includes(event.id)) tools.push(event.id);
      // In between agents tell as often as they like.
      const isEnd = event.status === 'completed' || event.status === 'failed';
      return isEnd ? [`turn ${event.turn}: tool ${tools.indexOf(event.id) + 1} ${event.status}`] : [];
    }
    case 'turn.started':
    case 'turn.ended':
      return [`turn ${event.turn}: ${event.type}`];
    case 'artifact':
      return [`artifact ${event.name}`];
    case 'warning':
      return [`warning ${event.code}`];
    default:
      return [event.type];
  }
}

/** What is wrong with a job. */
export interface Verdict {
  promptsSent: number;
  lostEvents: number;
  duplicateEvents: number;
  wrongAnswers: number;
  /** For a person. */
  complaints: string[];
}

/** Compares a job with one that nobody disturbed. */
export function judge(jobId: string, { result, facts, gaps, inputs, patch }: Account, undisturbed: Account): Verdict {
  const lost = without(undisturbed.facts, facts);
  const doubled = without(facts, undisturbed.facts);
  const wrong = [
    result.outcome === 'completed' ? null : `ended ${result.outcome} (${result.failure?.code}: ${result.failure?.message})`,
    ...EXPECTED.messages.map((message, index) =>
      result.turns[index]?.message === message ? null : `answer of turn ${index + 1} is wrong`,
    ),
    lost.length + doubled.length > 0 || facts.join() === ordered(facts, undisturbed.facts) ? null : 'events in another order',
    inputs.every((tokens, index) => tokens > (inputs[index - 1] ?? 0)) ? null : `the conversation shrank: ${inputs.join()}`,
    EXPECTED.patch.join() === (patch.match(/^\+ran$/gm) ?? []).join() ? null : 'the command ran another number of times',
  ].filter((complaint) => complaint !== null);
  const sent = result.usage.requests;
  const others = [
    ...(sent === EXPECTED.prompts ? [] : [`${sent} prompts in place of ${EXPECTED.prompts}`]),
    ...(lost.length + gaps === 0 ? [] : [`lost: ${gaps > 0 ? `${gaps} places, ` : ''}${some(lost)}`]),
    ...(doubled.length === 0 ? [] : [`too many: ${some(doubled)}`]),
  ];
  // What a job that failed has not done follows from its end.
  const complaints = result.outcome === 'completed' ? [...wrong, ...others] : wrong.slice(0, 1);
  return {
    promptsSent: sent,
    lostEvents: lost.length + gaps,
    duplicateEvents: doubled.length,
    wrongAnswers: wrong.length > 0 ? 1 : 0,
    complaints: complaints.map((complaint) => `${jobId}: ${complaint}`),
  };
}

/** Those of the first that are not in the second, each as often as it is missing. */
function without(these: readonly string[], those: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const fact of those) left.set(fact, (left.get(fact) ?? 0) + 1);
  return these.filter((fact) => {
    const count = left.get(fact) ?? 0;
    left.set(fact, count - 1);
    return count <= 0;
  });
}

/** The words of the agent come in its order; the steps of the job run beside each other. */
function ordered(facts: readonly string[], undisturbed: readonly string[]): string {
  const turns = undisturbed.filter((fact) => fact.startsWith('turn'));
  return facts.map((fact) => (fact.startsWith('turn') ? turns.shift() : fact)).join();
}

function some(facts: readonly string[]): string {
  return facts.length > 5 ? `${facts.slice(0, 5).join(', ')} and ${facts.length - 5} more` : facts.join(', ');
}
