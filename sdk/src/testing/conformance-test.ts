import type { ContractCase, Scope } from './case.ts';
import { type ConformanceOptions, connectSdks, type McpSession } from './conformance-session.ts';
import type { McpSdk } from './mcp-sdk.ts';
import { type Ends, type MakePair, pairCase } from './transport-pair.ts';

/** What each test of the draft is called there, and whether it is required. */
export const conformanceTests = {
  'third-party-replacement': ['Third-party replacement', 'required'],
  'request-delivery': ['Request delivery', 'required'],
  'response-delivery': ['Response delivery', 'required'],
  'notification-delivery': ['Notification delivery', 'required'],
  'error-response': ['Error response', 'required'],
  'transport-failure': ['Transport failure', 'required'],
  close: ['Close', 'required'],
  'no-http-dependency': ['No HTTP dependency', 'required'],
  'protocol-reuse': ['Protocol reuse', 'required'],
  'opaque-context': ['Opaque context', 'required'],
  'concurrent-requests': ['Concurrent requests', 'required'],
  cancellation: ['Cancellation', 'recommended'],
  'malformed-input': ['Malformed input', 'recommended'],
  backpressure: ['Backpressure', 'recommended'],
  'extension-fields': ['Extension fields', 'recommended'],
  'protocol-version': ['Protocol-version behavior', 'recommended'],
  'long-lived-streams': ['Long-lived response streams', 'recommended'],
} as const;
export type ConformanceTestId = keyof typeof conformanceTests;

/** One test of the draft. Its `name` is the draft's. */
export interface ConformanceCase extends ContractCase {
  readonly id: ConformanceTestId;
  readonly level: 'required' | 'recommended';
}

/** What the tests are made with. */
export interface Subject {
  sdk: McpSdk;
  makePair: MakePair;
  options: ConformanceOptions;
  patienceMs: number;
}

export const conformanceCase = (id: ConformanceTestId, run: () => Promise<void>): ConformanceCase => {
  const [name, level] = conformanceTests[id];
  return { id, name, level, run };
};

/** A test on a new pair that is closed behind it. */
export const onPair = (subject: Subject, body: (ends: Ends, scope: Scope) => Promise<void>): Promise<void> =>
  pairCase('', subject.makePair, subject.options, body).run();

/** A test on a new pair over which both ends of the SDK are connected. */
export const onSession = (subject: Subject, body: (session: McpSession, ends: Ends) => Promise<void>): Promise<void> =>
  onPair(subject, async (ends) => body(await connectSdks(subject.sdk, ends, subject.patienceMs), ends));
