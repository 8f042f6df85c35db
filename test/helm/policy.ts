import type { Rendered } from './helm.ts';

type Labels = Record<string, string>;
interface Selector {
  matchLabels?: Labels;
}
interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string };
}
interface Policy extends Rendered {
  spec: {
    podSelector: Selector;
    policyTypes: string[];
    ingress?: { from?: Peer[]; ports: { port: string }[] }[];
  };
}

/** A pod somewhere in the cluster; every namespace has its own name as a label. */
export interface Pod {
  namespace: string;
  labels: Labels;
}

const selects = ({ matchLabels = {} }: Selector, labels: Labels): boolean =>
  Object.entries(matchLabels).every(([name, value]) => labels[name] === value);

/**
 * Whether a NetworkPolicy of the objects in the namespace `ns` lets one pod connect to another pod
 * there.
 */
export function admits(objects: Rendered[], from: Pod, to: Labels): boolean {
  const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy') as Policy[];
  const meant = policies.filter(({ spec }) => spec.policyTypes.includes('Ingress') && selects(spec.podSelector, to));
  if (meant.length === 0) return true;
  // A rule that names nobody lets everybody in.
  return meant.some(({ spec }) =>
    (spec.ingress ?? []).some((rule) => !rule.from?.length || rule.from.some((peer) => isOf(peer, from))),
  );
}

function isOf({ ipBlock, namespaceSelector, podSelector }: Peer, { namespace, labels }: Pod): boolean {
  if (ipBlock) return false;
  const inNamespace = namespaceSelector
    ? selects(namespaceSelector, { 'kubernetes.io/metadata.name': namespace })
    : namespace === 'ns';
  return inNamespace && selects(podSelector ?? {}, labels);
}
