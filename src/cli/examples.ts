/** One or two example calls of each command, which help and the man page show. @module */

const CONFIG = '--config /etc/trousseau/trousseau.yaml'
const SOCKET = '--socket /run/trousseau/kms.sock'
const ENDPOINTS =
  '--endpoints https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key'

/** By the path of the command; an example omits that path. */
export const EXAMPLES = {
  demo: ['', '--dir ~/trousseau-demo'],
  'config init': ['/etc/trousseau/trousseau.yaml', '- --type local'],
  'config validate': ['/etc/trousseau/trousseau.yaml'],
  'config schema': ['> trousseau.schema.json'],
  keygen: ['/var/lib/trousseau/keys', '--signer ES256 /var/lib/trousseau/signer-keys'],
  'vault policy': [CONFIG],
  'vault setup': [`${CONFIG} > setup.sh`, `${CONFIG} --apply --token-file ~/.vault-token`],
  'awskms policy': [CONFIG],
  'azurekms policy': [CONFIG],
  'gcpkms policy': [CONFIG],
  'login-key create': [
    '/etc/trousseau/login-key --subject trousseau:cp-1 > login-cp-1.sh',
    '/etc/trousseau/login-key.json --tpm --pcrs 7,11 > login-cp-1.sh',
  ],
  'login-key public': ['/etc/trousseau/login-key'],
  'login-key state': ['/etc/trousseau/login-key.json', '--json > cp-1-state.json'],
  'login-key authorize': [
    'tpm-policies.json --key /media/offline/policy-key.pem --state cp-1-state.json --pcrs 7,11',
  ],
  'policy facts': [CONFIG, `${CONFIG} --json > facts.json`],
  'policy test': [CONFIG, `${CONFIG} --facts facts.json --expect kernel-lockdown=passes`],
  'policy explain': [`${CONFIG} --operation decrypt`],
  'policy waiver': [
    '--key /media/offline/waiver-key --node cp-1 --machine DIGEST --rule kernel-lockdown --who "A. Person" --why "kernel update" --for 2h',
  ],
  manifests: [
    `static-pod ${CONFIG} > /etc/kubernetes/manifests/trousseau.yaml`,
    `systemd ${CONFIG} --out /tmp/trousseau`,
  ],
  serve: [CONFIG, `${CONFIG} --take-over`],
  status: [CONFIG, `${SOCKET} --watch`],
  top: [CONFIG, `${CONFIG} --once`],
  doctor: [CONFIG, `${CONFIG} --encryption-config /etc/kubernetes/enc/enc.yaml`],
  explain: ['key_unavailable', ''],
  check: [SOCKET, '--signer --socket /run/trousseau/signer.sock'],
  scan: [CONFIG, `--snapshot etcd.db ${CONFIG}`],
  migrate: [`${CONFIG} --dry-run`, `${CONFIG} --state migrate.json ${ENDPOINTS}`],
  'recovery-key create': ['/media/offline/recovery-key'],
  'recovery-key verify': [`${SOCKET} --key /media/offline/recovery-key`],
  'recover list': ['--snapshot etcd.db'],
  'recover drill': ['--snapshot etcd.db --recovery-key /media/offline/recovery-key'],
  'recover export': [
    '--snapshot etcd.db --recovery-key /media/offline/recovery-key --out secrets.yaml',
  ],
  bench: [`${SOCKET} --duration 5s`],
  'audit verify': [
    '/var/log/trousseau/audit.log*',
    '/var/log/trousseau/audit.log* --key cp-1.pub --json',
  ],
  'verify-bundle': ['trousseau-airgap.tar.zst --key release-key.pem'],
  version: ['', '--json'],
  completion: ['bash > /etc/bash_completion.d/trousseau'],
  help: ['config validate'],
} as const satisfies Readonly<Record<string, readonly string[]>>
