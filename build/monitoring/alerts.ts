/**
 * The alerts: what each is raised for, and what its section of docs/alerts.md says to whoever gets
 * it.
 *
 * @module
 */

import { M } from './names.ts'
import { RECORDED } from './rules.ts'

export interface Alert {
  readonly name: string
  readonly expr: string
  /** How long it must have been so. */
  readonly for: string
  /** `critical` wakes somebody; `warning` is for the working day; `info` for the week. */
  readonly severity: 'critical' | 'warning' | 'info'
  /** A line, with the labels of what it is about. */
  readonly summary: string
  readonly means: string
  readonly look: string
  readonly action: string
  readonly wake: string
}

/** The job that `deploy/monitoring` scrapes the plugins under. */
export const JOB = 'trousseau'

const ENDPOINT = 'endpoint {{ $labels.endpoint }} on {{ $labels.instance }}'
const PROVIDER = 'provider {{ $labels.provider }} on {{ $labels.instance }}'

export const ALERTS: readonly Alert[] = [
  {
    name: 'TrousseauDown',
    expr: `${M.health_state}{state=~"starting|failed"} == 1 or up{job="${JOB}"} == 0 or (${M.health_state}{state="held"} == 1 and ignoring (state) ${M.hold_left_seconds} == 0)`,
    for: '30s',
    severity: 'critical',
    summary: 'The plugin on {{ $labels.instance }} does not serve',
    means:
      'API servers stop writing Secrets three minutes after Status fails. They go on reading what they have read before, until they are restarted: an API server that starts now cannot read Secrets, nor become ready.',
    look: '`trousseau status --config FILE` on the node, or `/readyz` of its admin server: it names the provider and why. Where nothing answers, the log of the plugin (`journalctl -u trousseau`, `crictl logs`). Then `trousseau doctor --config FILE`.',
    action:
      'Bring back what `/readyz` names: the key service, the way to it, or the login. Do **not** restart API servers meanwhile. [Troubleshooting](troubleshooting.md) goes by symptom.',
    wake: 'At once.',
  },
  {
    name: 'TrousseauKeyServiceAway',
    expr: `${M.health_state}{state="held"} == 1`,
    for: '1m',
    severity: 'critical',
    summary: `A key service is away, and the hold of ${ENDPOINT} runs`,
    means:
      'A provider that should wrap does not answer. API servers go on, because Status keeps the last key id for as long as the hold lasts (`health.outageHold`). After that, `TrousseauDown` follows.',
    look: `\`${M.hold_left_seconds}\` says how much time there is. \`trousseau status\` names the provider, and what it answers.`,
    action: 'As for [TrousseauDown](#trousseaudown), while nothing is lost yet.',
    wake: 'At once, unless the hold lasts until the morning and a restart of API servers can be ruled out.',
  },
  {
    name: 'TrousseauDegraded',
    expr: `${M.health_state}{state="degraded"} == 1`,
    for: '15m',
    severity: 'warning',
    summary: `Fewer providers wrap than the config of ${ENDPOINT} says`,
    means:
      'A provider was left out. What is written now has fewer wraps, and so is lost with fewer key services.',
    look: '`trousseau status` says which one is `left_out`, and since when.',
    action:
      'Bring it back. Then rewrite what was written without it: [rewriting](rewriting.md). See [protection](protection.md).',
    wake: 'Not for this alone. With two providers left of three, in the morning; with one, now.',
  },
  {
    name: 'TrousseauProviderUnhealthy',
    expr: `${M.provider_healthy} == 0`,
    for: '10m',
    severity: 'warning',
    summary: `The ${PROVIDER} does not answer as it should`,
    means:
      'The provider is away, or its key cannot be used to its full extent. Where it only reads (`decryptOnly`), no other alert tells: what only it can open cannot be read.',
    look: '`trousseau status`: the provider’s `error`.',
    action: 'As the error says. `trousseau doctor --config FILE` tries each step apart.',
    wake: 'Where only this provider opens what is stored, at once.',
  },
  {
    name: 'TrousseauRequestsFail',
    expr: `${RECORDED.failures} > 0.05`,
    for: '5m',
    severity: 'critical',
    summary: `{{ $value | humanizePercentage }} of requests fail at ${ENDPOINT}`,
    means: 'API servers get errors for Encrypt or Decrypt: Secrets cannot be written or read.',
    look: `\`${M.requests_total}\` by \`code\`: [what each means](observability.md#error-codes). The log has a line for each failed request, with its uid.`,
    action: 'By the code: [troubleshooting](troubleshooting.md).',
    wake: 'At once.',
  },
  {
    name: 'TrousseauSlow',
    expr: `${RECORDED.requestP99}{method=~"Encrypt|Decrypt"} > 1`,
    for: '5m',
    severity: 'warning',
    summary: `{{ $labels.method }} takes {{ $value | humanizeDuration }} at ${ENDPOINT}`,
    means: 'One request of a hundred takes more than a second. API servers give up after three.',
    look: `\`${RECORDED.callP99}\`: is it the key service? If not, \`${M.event_loop_delay_seconds}\`, and the processor time that the node has.`,
    action:
      'Bring the key service nearer, or give it or the node more. [Sizing](sizing.md) has what is usual.',
    wake: 'Above two seconds, now.',
  },
  {
    name: 'TrousseauRuleRefuses',
    expr: `${M.policy_rule_info}{mode="enforce",state="refuses"} == 1`,
    for: '30s',
    severity: 'critical',
    summary: 'Rule {{ $labels.rule }} refuses on {{ $labels.instance }}',
    means:
      'An enforced rule does not pass on this node. Where it guards Encrypt, its API server stops writing Secrets after three minutes; where it guards Decrypt, that API server cannot start.',
    look: '`trousseau policy explain --config FILE` on the node: the rule, what it says, and the facts that it looked at.',
    action:
      'Find out whether the node was tampered with. If not, put right what the rule asks for, or lift it for a while: [waiver](policy.md).',
    wake: 'At once.',
  },
  {
    name: 'TrousseauRulesWaived',
    expr: `${M.policy_waiver_expiry_timestamp_seconds} > time()`,
    for: '1h',
    severity: 'info',
    summary: 'A waiver lifts rules on {{ $labels.instance }}',
    means: 'Somebody lifted rules on this node with a signed waiver, and it is still in force.',
    look: 'The log of the plugin names the waiver, who gave it and why (`waiver_in_force`).',
    action: 'See to what it was given for before it ends.',
    wake: 'No.',
  },
  {
    name: 'TrousseauNodesDisagree',
    expr: `count by (endpoint) (count by (endpoint, key_id_hash) (${M.key_id_info})) > 1`,
    for: '10m',
    severity: 'warning',
    summary: 'Nodes encrypt under different keys for endpoint {{ $labels.endpoint }}',
    means:
      'The plugins of one cluster name different key ids for longer than a rotation takes. Everything can be read while each node reaches all keys; a config may have been changed on some nodes only.',
    look: '`trousseau status` on each node: why is it this key id? Compare the configs.',
    action: 'Make the configs equal, or bring back what a node does not reach.',
    wake: 'No.',
  },
  {
    name: 'TrousseauRotationOverdue',
    expr: `time() - ${M.key_version_switch_timestamp_seconds} > 600`,
    for: '5m',
    severity: 'warning',
    summary: `Key version {{ $labels.version }} of ${PROVIDER} did not take over`,
    means: 'A newer key version should encrypt by now, and does not.',
    look: '`trousseau status` says why the key id is the one it is. A notice `key_version_unfit` or `version_from_the_future` in the log tells more.',
    action: 'Compare the clocks of node and key service; make another version.',
    wake: 'No.',
  },
  {
    name: 'TrousseauKeyOld',
    expr: `${RECORDED.keyAge} > 90 * 86400`,
    for: '1h',
    severity: 'info',
    summary: `Key version {{ $labels.version }} of ${PROVIDER} is {{ $value | humanizeDuration }} old`,
    means:
      'The key version that encrypts was made more than 90 days ago. That is the usual limit of policies, and no danger by itself.',
    look: 'The policy that you follow.',
    action: 'Rotate: [the runbook](runbooks/rotate.md). No restart is needed.',
    wake: 'No.',
  },
  {
    name: 'TrousseauKeyWorn',
    expr: `sum by (provider) (rate(${M.provider_items_total}{operation="wrap"}[1h])) * on (provider) max by (provider) (${RECORDED.keyAge}) > 2 ^ 31`,
    for: '6h',
    severity: 'warning',
    summary:
      'The key of provider {{ $labels.provider }} has wrapped some {{ $value | humanize }} times',
    means:
      'All nodes together wrap so often that, had they always done so, the key version has made half of the 4,294,967,296 wraps that AES-GCM with random nonces is good for (NIST SP 800-38D). That is reached under KMS v1beta1 alone, which wraps at every write, or by somebody at the socket who floods it.',
    look: `\`${M.requests_total}\` by \`api\` and \`method\`: are these writes of the API server? Of a key service that does not use AES-GCM, or derives a key for each wrap (AWS, Google), nothing is worn.`,
    action:
      'Rotate: [the runbook](runbooks/rotate.md). Move to KMS v2, which wraps once for many objects: [migration](migration.md).',
    wake: 'No.',
  },
  {
    name: 'TrousseauTokenEnds',
    expr: `${M.token_expiry_timestamp_seconds} - time() < 300`,
    for: '5m',
    severity: 'critical',
    summary: `The token of ${PROVIDER} ends in {{ $value | humanizeDuration }}`,
    means:
      'The plugin renews its token long before it ends. This one was not renewed, and no login made another.',
    look: `\`${M.token_operations_total}\` by \`code\`, and the last failure of the token in \`trousseau status\`.`,
    action: 'Make the login work again: `trousseau doctor --config FILE` tries it.',
    wake: 'At once.',
  },
  {
    name: 'TrousseauLoginFails',
    expr: `increase(${M.token_operations_total}{code!="ok"}[15m]) > 2`,
    for: '1m',
    severity: 'warning',
    summary: `{{ $labels.action }} by {{ $labels.method }} fails with {{ $labels.code }} for ${PROVIDER}`,
    means:
      'Logins or renewals fail again and again. The token in use may still be good: `TrousseauTokenEnds` comes in time.',
    look: 'Lines with `"event":"token"` in the log; `denied` is the key service’s answer, `unavailable` the way to it.',
    action:
      'A changed role, a secret id that ended, a policy: the page of the login in `docs/logins`.',
    wake: 'Only where a restart of the plugin is to be feared: without a login it does not start.',
  },
  {
    name: 'TrousseauCertificateEnds',
    expr: `${M.certificate_expiry_timestamp_seconds} - time() < 7 * 86400`,
    for: '5m',
    severity: 'warning',
    summary: `The {{ $labels.kind }} certificate of ${PROVIDER} ends in {{ $value | humanizeDuration }}`,
    means: 'When it ends, the key service is not reached any more.',
    look: 'The label `kind`: `server` is the key service’s, `authority` the one in `tls.caFile` or `tls.caDir`, `client` this node’s.',
    action: 'Renew it. Files are taken up when they change, without a restart.',
    wake: 'On the last day.',
  },
  {
    name: 'TrousseauConfigRefused',
    expr: `${M.config_last_reload_successful} == 0`,
    for: '1m',
    severity: 'warning',
    summary: 'The config file on {{ $labels.instance }} is refused, and the one before is in force',
    means:
      'Somebody changed the config into one that cannot be used. All goes on as before; the next start of the plugin would fail.',
    look: 'The line `config_refused` in the log has every problem; `trousseau config validate FILE` says the same.',
    action: 'Correct the file, or put the one before back.',
    wake: 'No, but do not restart the node.',
  },
  {
    name: 'TrousseauHeldUp',
    expr: `${M.event_loop_delay_seconds}{quantile="0.99"} > 0.25`,
    for: '5m',
    severity: 'warning',
    summary: 'The process on {{ $labels.instance }} is held up for {{ $value | humanizeDuration }}',
    means:
      'The plugin does not get the processor when it needs it: a limit on its container, a busy node, or swapping.',
    look: 'Throttling of the container, load and memory of the node.',
    action: 'Raise or remove the limit of processor time. [Sizing](sizing.md) has what is usual.',
    wake: 'Only together with `TrousseauSlow`.',
  },
  {
    name: 'TrousseauLogLinesDropped',
    expr: `increase(${M.log_lines_lost_total}{fate="dropped"}[10m]) > 0`,
    for: '0s',
    severity: 'warning',
    summary: 'Log lines of {{ $labels.instance }} are lost',
    means:
      'Whoever takes the log does not read it, or the disk is full. Requests are served all the same.',
    look: 'The log collector, and the disk of the node.',
    action: 'Bring the reader back. Lines that are lost cannot be had again.',
    wake: 'No.',
  },
  {
    name: 'TrousseauAuditLost',
    expr: `increase(${M.audit_records_total}{outcome="lost"}[10m]) > 0`,
    for: '0s',
    severity: 'warning',
    summary: 'Audit records of {{ $labels.instance }} are lost',
    means:
      'The file or the reader of the audit stream does not take records, and the memory for those that wait is full. Requests are served all the same. The stream itself says how many are missing, and where.',
    look: 'The lines `audit_failed` and `audit_lost` in the log; disk, owner and mode of `audit.to`.',
    action:
      'Free the disk, or bring the reader back. Records that are lost cannot be had again: the log has a line for each request, and the key service an audit log of its own. See [the audit stream](audit.md).',
    wake: 'Where your rules ask for a whole audit, now; otherwise no.',
  },
  {
    name: 'TrousseauSignerFails',
    expr: `${M.signer_healthy} == 0`,
    for: '2m',
    severity: 'critical',
    summary: 'ServiceAccount tokens cannot be signed on {{ $labels.instance }}',
    means:
      'The key that signs ServiceAccount tokens is away, or is another one than before. Tokens that were signed stay good; new pods wait, and within an hour controllers have no token any more.',
    look: '`trousseau status --config FILE`: the signer’s `problem`. A notice `signing_key_replaced` or `signing_key_gone` in the log means that somebody touched the key.',
    action:
      'Bring the key service back, or the way to it. Where the key was replaced, find out who did that before anything else: [the signer](signer.md#rotation).',
    wake: 'At once.',
  },
  {
    name: 'TrousseauVersionsDiffer',
    expr: `count(count by (version) (${M.build_info})) > 1`,
    for: '6h',
    severity: 'info',
    summary: 'Nodes run {{ $value }} versions of Trousseau',
    means: 'An upgrade did not reach all nodes.',
    look: `\`${M.build_info}\` by \`instance\`.`,
    action: 'Finish it, or go back: [upgrade](upgrade.md).',
    wake: 'No.',
  },
]
