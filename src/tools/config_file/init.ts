/**
 * `trousseau config init` writes a config to begin with, in which every line says what it is for.
 *
 * @module
 */

import { resolve } from 'node:path'
import type { Io } from '../../console/io.ts'
import { nextStep } from '../../console/notices.ts'
import { OutFile } from '../../console/out_file.ts'
import { EXIT } from '../../console/output.ts'
import { descriptorOf, type ProviderType } from '../../services/registry.ts'

/**
 * The config holds no secret, and the plugin may run as another user, who must be able to read it.
 */
const MODE = 0o644

/**
 * @param file `-` for standard output
 * @throws KmsError where the file exists or cannot be written
 */
export async function initConfig(file: string, type: ProviderType, io: Io): Promise<number> {
  const text = startingConfig(type)
  if (file === '-') {
    io.out(text)
    return EXIT.ok
  }
  const path = resolve(file)
  await using made = await OutFile.make(path, io.stop, MODE)
  await made.write(text)
  await made.keep()
  io.out(`Made ${path}: change the lines of the provider to yours\n`)
  nextStep({}, `trousseau config validate ${path}`, io)
  return EXIT.ok
}

function startingConfig(type: ProviderType): string {
  const { keys, next } = descriptorOf({ type }).starting
  const own = keys.replaceAll(/^(?=.)/gm, '    ')
  return `# Config of Trousseau. "trousseau config validate FILE" checks it, docs/configuration.md has every key.
# It holds no secret: each is a file that is named here.
apiVersion: trousseau.io/v1
kind: TrousseauConfig

# Where kube-apiserver connects; the endpoint in its EncryptionConfiguration is unix:// and this.
socket:
  path: /run/trousseau/kms.sock
  mode: "0600"

# The key service. A second one beside it: docs/protection.md.
providers:
  - name: main                                  # yours to choose
    type: ${type}
${own}# Then: ${next}

# Nothing secret: lets a restart keep the key id while the key service is away.
stateDir: /var/lib/trousseau/state

# /livez, /readyz, /metrics, and what "trousseau status --config FILE" shows of providers.
admin:
  listen: 127.0.0.1:8787

log:
  level: info                                   # debug, info, warn, error
  # format: json                                # or text; by default text at a terminal, else json

# Keys, kept offline, that open Secrets after all key services are gone ("trousseau recovery-key create"):
# recovery:
#   recipients: [/etc/trousseau/recovery-key.pub.json]
`
}
