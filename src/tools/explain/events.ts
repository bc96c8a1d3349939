/**
 * What each event of the log means, and what to do. `trousseau explain` and docs/reference.md are
 * made of this; the compiler keeps it whole, and a test compares the levels with the sources.
 *
 * @module
 */

import type { CountedEvent, KmsEvent } from '../../base/events.ts'
import type { NoticeName } from '../../base/notices.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'
type EventName = Exclude<KmsEvent['type'], 'notice' | CountedEvent> | NoticeName

export interface EventEntry {
  readonly levels: readonly Level[]
  /** As the log has them, besides time, level, event and message. */
  readonly fields: readonly string[]
  readonly means: string
  /** Absent where nothing is to be done. */
  readonly todo?: string
}

const OF_PROVIDER = ['provider'] as const
const RESTART = 'Nothing at once. After the next restart it matters: see to it before.'

export const EVENTS: Readonly<Record<EventName, EventEntry>> = {
  // What happens again and again.
  request: {
    levels: ['debug', 'info', 'warn', 'error'],
    fields: ['endpoint', 'api', 'method', 'uid', 'code', 'duration_ms', 'key_id_hash'],
    means:
      'A request of an API server was answered. A good Status is debug, a failure warn, a fault of Trousseau error.',
    todo: 'For a failure: explain its code.',
  },
  health: {
    levels: ['debug', 'info', 'warn', 'error'],
    fields: ['endpoint', 'state', 'previous', 'key_id', 'why', 'hold_left_s', 'error_code'],
    means:
      'The providers of an endpoint were looked at. Above debug only where the state or its reason changes.',
    todo: 'For degraded, held or failed: the message has the reason; docs/operations.md has each outage.',
  },
  key_id: {
    levels: ['info'],
    fields: ['endpoint', 'key_id', 'previous'],
    means:
      'Status answers another key id from now on: after a rotation, a change of the config, or at the start.',
  },
  signer: {
    levels: ['debug', 'info', 'warn'],
    fields: [
      ...['kid', 'version', 'algorithm', 'pending_version', 'switch_at', 'published'],
      'error_code',
    ],
    means:
      'The key that signs ServiceAccount tokens was looked at. Above debug only where it says something new.',
    todo: 'For a failure: the message has the reason. Tokens that were signed stay good: docs/signer.md.',
  },
  token: {
    levels: ['info', 'warn'],
    fields: ['provider', 'action', 'method', 'code', 'ttl_s'],
    means: 'A login or a renewal was done, or failed.',
    todo: 'For a failure: the message has the reason of the service.',
  },
  certificate: {
    levels: ['debug', 'warn'],
    fields: ['provider', 'kind', 'not_after'],
    means: 'A certificate that TLS to the key service depends on was seen; warn near its end.',
    todo: 'Renew it before not_after: that of the service, the authority, or this node.',
  },
  provider_call: {
    levels: ['debug'],
    fields: ['provider', 'operation', 'items', 'code', 'duration_ms'],
    means: 'A key service was asked, with so many items at once.',
  },
  policy: {
    levels: ['warn'],
    fields: ['endpoint', 'rule', 'mode', 'outcome', 'operation', 'provider'],
    means:
      'A rule did not pass for a request: an enforced one refused it, an audited one would have.',
    todo: 'Put right what the message names, or lift the rule with a waiver: docs/policy.md.',
  },
  policy_state: {
    levels: ['info', 'warn', 'error'],
    fields: ['rules', 'waiver'],
    means: 'A rule says something else than before; error where an enforced one refuses.',
    todo: '"trousseau policy explain --config FILE" shows which rule decides what, and from which facts.',
  },
  coalesced: {
    levels: ['debug'],
    fields: ['provider'],
    means: 'An unwrap was not sent, because the answer of an equal one under way serves it too.',
  },
  hedge: {
    levels: ['debug'],
    fields: ['provider', 'reason'],
    means:
      'This provider was asked for an unwrap in addition, because one before it was slow or failed.',
  },
  // The process.
  started: { levels: ['info'], fields: [], means: 'The sockets answer.' },
  stopping: {
    levels: ['info'],
    fields: [],
    means: 'It was told to stop, and answers what is under way.',
  },
  stopped: { levels: ['info'], fields: [], means: 'All was answered, and it ends.' },
  config_not_followed: {
    levels: ['warn'],
    fields: [],
    means: 'SIGHUP came, and the config is no file that could be read again.',
    todo: 'Restart the plugin with another config.',
  },
  config_reloaded: { levels: ['info'], fields: ['file'], means: 'The changed config is in force.' },
  config_refused: {
    levels: ['error'],
    fields: ['file'],
    means: 'The changed config cannot be used; the one before stays in force.',
    todo: 'Correct what the message lists. "trousseau config validate FILE" says the same before.',
  },
  config_unchanged: {
    levels: ['info'],
    fields: ['file'],
    means: 'SIGHUP came, and the config is as it was.',
  },
  endpoint_failed: {
    levels: ['error'],
    fields: [],
    means: 'One of several sockets cannot be had; the others are served, and it is tried again.',
    todo: 'Remove what stands at its path, or correct the folder: the message says what it is.',
  },
  provider_not_closed: {
    levels: ['warn'],
    fields: [],
    means: 'A provider that is configured no more could not be closed. Nothing depends on it.',
  },
  state_not_saved: {
    levels: ['warn'],
    fields: [],
    means: 'stateDir cannot be written: a restart in an outage would not keep the key id.',
    todo: 'Correct owner, mode or file system of stateDir.',
  },
  // The signer.
  signing_key: {
    levels: ['info'],
    fields: [],
    means: 'ServiceAccount tokens are signed with this key.',
  },
  signing_key_gone: {
    levels: ['error'],
    fields: [],
    means:
      'A version of the signing key is gone where it was kept, while tokens that it signed may be in use. It stays published.',
    todo: 'Bring it back, or name it in signer.distrusted, which ends its tokens: docs/signer.md.',
  },
  signing_key_replaced: {
    levels: ['error'],
    fields: [],
    means:
      'A version of the signing key is another key than before. Nothing is signed; those of before stay published.',
    todo: 'Find out who did that. Bring the key back, or name the old one in signer.distrusted: docs/signer.md.',
  },
  signer_state_not_saved: {
    levels: ['warn'],
    fields: [],
    means:
      'stateDir cannot be written: an API server could not start with this plugin in an outage.',
    todo: 'Correct owner, mode or file system of stateDir.',
  },
  signer_state_refused: {
    levels: ['error'],
    fields: [],
    means: 'signer.json in stateDir is damaged, or may be written by others; it is not used.',
    todo: 'Where nobody should have been there, find out who was. It is written anew with the next answer of the key service.',
  },
  // The audit stream.
  audit_failed: {
    levels: ['error'],
    fields: [],
    means:
      'The audit stream cannot be written. Records wait in memory (4 MiB), after that they are lost; requests are served all the same.',
    todo: 'As the message says: free the disk, correct owner or mode, or remove what stands at its path.',
  },
  audit_lost: {
    levels: ['error'],
    fields: [],
    means: 'Records of the audit stream are lost. The next one that is written says how many.',
    todo: 'Bring back the disk or the reader. What is lost cannot be had again; the log has a line for each request too.',
  },
  audit_resumed: {
    levels: ['info'],
    fields: ['lost'],
    means: 'The audit stream is written again; so many records were lost.',
  },
  audit_unsigned: {
    levels: ['warn'],
    fields: ['error_code'],
    means: 'An audit file ended with a head that is not signed, because the key could not be used.',
    todo: 'See to the login key: login-key state FILE for one in a TPM. The next head covers these records too.',
  },
  // Its sockets.
  socket_listening: { levels: ['info'], fields: [], means: 'The socket is there, with this mode.' },
  socket_rebound: { levels: ['info'], fields: [], means: 'The socket is there again.' },
  socket_vanished: {
    levels: ['warn'],
    fields: [],
    means: 'Somebody removed the file of the socket. It is made again within a second.',
    todo: 'Find out what cleans that folder, such as systemd-tmpfiles.',
  },
  socket_taken: {
    levels: ['warn'],
    fields: [],
    means: 'Another process listens at the path now. Connections that are open are served on.',
    todo: 'Expected in an upgrade with --take-over. Otherwise two plugins run: stop one.',
  },
  socket_lost: {
    levels: ['error'],
    fields: [],
    means: 'The file of the socket cannot be looked at, or not be made again.',
    todo: 'Correct the folder: owner, mode, or its file system.',
  },
  drain_cut: {
    levels: ['warn'],
    fields: [],
    means: 'Requests were under way for too long when it stopped, and were cut off.',
    todo: 'The key service was slow then. API servers try again.',
  },
  clients_limited: {
    levels: ['warn'],
    fields: [],
    means:
      'A client of the socket had more connections, requests or bytes at once than API servers have, and its connection was closed. It is told once a minute at most. Others are served.',
    todo: 'Find out who connects: only API servers should. docs/limits.md has the limits.',
  },
  admin_listening: {
    levels: ['info'],
    fields: ['address'],
    means: 'The admin server, or the one for probes, listens there.',
  },
  admin_failed: {
    levels: ['error'],
    fields: [],
    means: 'A page of the admin server failed: a fault of Trousseau.',
    todo: 'Report it with the log line.',
  },
  admin_waits: {
    levels: ['info', 'warn'],
    fields: [],
    means: 'The address of the admin server cannot be had; the plugin serves without it.',
    todo: 'Free the port or change admin.listen: a liveness probe that asks there restarts the plugin.',
  },
  // Keys.
  provider: {
    levels: ['info'],
    fields: ['provider', 'type', 'id'],
    means: 'The provider uses this key.',
  },
  key_recreated: {
    levels: ['error'],
    fields: [],
    means:
      'The key was deleted and made again under its name: what the old one wrapped is lost there.',
    todo: 'Restore the key from a backup of the key service, or open with another provider or a recovery key.',
  },
  version_from_the_future: {
    levels: ['warn'],
    fields: [],
    means:
      "A key version claims to be made later than the key service's own clock says. It waits for that time.",
    todo: "Put the clocks of the key service's nodes right.",
  },
  key_file_read: {
    levels: ['info'],
    fields: ['provider', 'versions'],
    means: 'A changed key file is in use.',
  },
  key_worn: {
    levels: ['warn'],
    fields: ['provider', 'version'],
    means:
      'A version of a key file has wrapped 536,870,912 times in this process: an eighth of what random nonces are good for, since other nodes have the same key.',
    todo: 'Add a version: docs/providers/local.md, "Rotate".',
  },
  key_version_unfit: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means:
      'The newest version of the key cannot encrypt (disabled, expired, not yet valid); an older one does.',
    todo: 'Enable it, or make a version that can.',
  },
  wraps_forgeable: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'The kind of key lets anybody with its public half make wraps, such as RSA in a vault.',
    todo: 'Use a key of Managed HSM (oct-HSM), or accept it: docs/providers/azurekms.md.',
  },
  alias_moved: {
    levels: ['error'],
    fields: ['provider', 'from', 'to'],
    means: 'The alias points to another key than at the start. The first one stays in use.',
    todo: 'If nobody meant this, point the alias back. A planned change: docs/migration.md.',
  },
  binding_inside: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means:
      'The key service ignores associated data, so what wraps are bound to is inside the plaintext.',
    todo: 'Upgrade Vault to 1.13 or later: docs/providers/vault.md.',
  },
  opened_unbound: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'Wraps that nothing is bound to are opened, since allowUnboundDecrypt says so.',
    todo: 'Rewrite everything, and take the key out of the config again.',
  },
  // Rules.
  opa_answers: {
    levels: ['info', 'warn'],
    fields: [],
    means:
      'Open Policy Agent gives no answer, or gives one again. What the config says of no answer holds meanwhile.',
    todo: 'Start it, or correct policy.opa: the message has the reason.',
  },
  waiver_in_force: {
    levels: ['warn'],
    fields: [],
    means: 'A waiver lifts rules on this node; told again until it ends.',
    todo: 'Put right what the rules ask for before it ends.',
  },
  waiver_refused: {
    levels: ['error'],
    fields: [],
    means: 'The file of the waiver holds none that is good here: it lifts nothing.',
    todo: 'The message says why: make another one with "trousseau policy waiver", for this node and machine.',
  },
  waiver_ended: { levels: ['warn'], fields: [], means: 'A waiver has ended: rules hold again.' },
  // Traces.
  traces_failed: {
    levels: ['warn'],
    fields: [],
    means:
      'The collector does not take spans, or not all: they are dropped. Told once; requests are answered as ever.',
    todo: 'Start the collector, or correct traces: the message has the reason.',
  },
  traces_sent: {
    levels: ['info'],
    fields: [],
    means: 'The collector has taken spans again for a minute.',
  },
  // The way to a key service.
  tls_files_changed: {
    levels: ['info'],
    fields: OF_PROVIDER,
    means: 'Certificates or authorities changed on disk; new connections use them.',
  },
  tls_files_refused: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'Changed certificates or authorities cannot be used; the ones before stay in use.',
    todo: `Correct what the message names. ${RESTART}`,
  },
  tls_not_verified: {
    levels: ['error'],
    fields: OF_PROVIDER,
    means: 'Any certificate is taken: anybody on the way can read keys and tokens.',
    todo: 'Give tls.caFile instead of dangerouslySkipVerification (-tls-ca-file instead of -tls-skip-verify).',
  },
  authorities_ended: {
    levels: ['info'],
    fields: OF_PROVIDER,
    means: 'Certificates of authorities that have ended lie beside those that vouch.',
    todo: 'Take them out when convenient.',
  },
  authorities_left_out: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'Files in tls.caDir are no certificates, and are left out.',
    todo: 'Remove them, or correct them where one was meant to vouch.',
  },
  vault_node: {
    levels: ['info', 'warn'],
    fields: ['provider', 'address', 'role', 'previous'],
    means: 'A node of Vault or OpenBao is active, standby, sealed or away now.',
    todo: 'For sealed: unseal it. The others are asked meanwhile.',
  },
  batch_limit: {
    levels: ['info'],
    fields: ['provider', 'items'],
    means: 'The service takes no larger batches; smaller ones are sent from now on.',
  },
  settings_changed: {
    levels: ['info'],
    fields: OF_PROVIDER,
    means: 'Settings that are kept at the key service (settingsFrom) changed, and are in force.',
  },
  settings_ignored: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'Settings for the whole process come from another provider.',
    todo: 'Take them out at this one, or put it first in the config.',
  },
  settings_kept: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: 'Settings at the key service cannot be read or used; those before stay in force.',
    todo: 'Correct them there: the message says which.',
  },
  // Logins.
  clock_skew: {
    levels: ['warn'],
    fields: OF_PROVIDER,
    means: "This node's clock is wrong; what it signs has the time of the service instead.",
    todo: 'Put the clock right (NTP).',
  },
  token_life_unknown: {
    levels: ['warn'],
    fields: [],
    means:
      'The token does not tell how long it lives, since its policy does not let it look itself up.',
    todo: 'Give the policy read on auth/token/lookup-self.',
  },
  token_not_revoked: {
    levels: ['info'],
    fields: OF_PROVIDER,
    means: 'The token could not be given back, and stays valid until it expires.',
    todo: 'Give the policy update on auth/token/revoke-self.',
  },
  token_restricted: {
    levels: ['info', 'warn'],
    fields: ['provider', 'restriction'],
    means: 'The login works now and will end later: few uses, an end, or bound to addresses.',
    todo: 'docs/logins/restrictions.md has each restriction and what to set.',
  },
}
