/** Logins by one secret in a file: users with a password, and periodic tokens. @module */

import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { commandLine, word } from '../../../base/shell.ts'
import { readSecretLine } from '../../../remote/secret_file.ts'
import type { VaultAuthBy } from '../login/auth.ts'
import type { VaultAdmin } from './admin.ts'
import { judgePassword, judgeToken } from './credentials.ts'
import { fileFinding, placeOf, writeNewSecret } from './files.ts'
import type { Setup } from './input.ts'
import { mountStep } from './mount.ts'
import { judge, mendedFields, readRole, roleNeed, tokenFields } from './role.ts'
import { guardFile, guardRole, intoFile, onNodes, PREFIX, writeCommand } from './shell.ts'
import type { SetupStep, StepFinding } from './step.ts'

type UserpassAuth = VaultAuthBy<'userpass'>

const PASSWORD_BYTES = 32
/** A node that is off for longer needs a new token. */
const TOKEN_PERIOD = '168h'

const tokenAnswer = v.object({
  auth: v.object({ client_token: v.pipe(v.string(), v.nonEmpty()) }),
})

export function userpassSteps(auth: UserpassAuth, setup: Setup): SetupStep[] {
  const path = `auth/${auth.mount}/users/${setup.role}`
  return [
    mountStep(setup, { kind: 'auth', path: auth.mount, type: 'userpass' }),
    passwordStep(setup, auth, path),
    userStep(setup, auth, path),
  ]
}

function passwordStep({ input }: Setup, { passwordFile }: UserpassAuth, user: string): SetupStep {
  const file = `${input.name}-password`
  const command = commandLine(['openssl', 'rand', '-hex', String(PASSWORD_BYTES)])
  return {
    what: `file ${passwordFile}`,
    why: ['The password. It is the same on all nodes, unless each has a user of its own.'],
    commands: [intoFile(command, file), onNodes(file, passwordFile)],
    async look(admin) {
      const place = await placeOf(passwordFile)
      if (place === 'taken') return await judgePassword(passwordFile)
      if (place === 'free' && (await readRole(user, admin)) !== undefined) {
        return { state: 'by hand', detail: 'the user exists: put its password there' }
      }
      return fileFinding(place, 'a new password')
    },
    apply: () =>
      writeNewSecret(passwordFile, () =>
        Promise.resolve(randomBytes(PASSWORD_BYTES).toString('hex')),
      ),
  }
}

function userStep(setup: Setup, { passwordFile }: UserpassAuth, path: string): SetupStep {
  const { cli, policyName, input } = setup
  const file = `${input.name}-password`
  const lost = `user ${path} is there, and a new password would shut its nodes out: put the one that it has into ${file} in this folder`
  const make = writeCommand(cli, path, { password: '-', ...tokenFields(policyName) })
  return {
    what: `user ${path}`,
    why: ['The user.'],
    guard: [
      guardRole(cli, path, { token_policies: [policyName] }),
      `if there ${commandLine([cli, 'read', path])} && [ ! -e ${word(file)} ]; then\n  stop ${word(lost)}\nfi`,
    ],
    commands: [`printf %s "$(cat ${word(file)})" |\n  ${make}`],
    async look(admin): Promise<StepFinding> {
      const found = await readRole(path, admin)
      if (found !== undefined) return judge(found, { bounds: {} }, policyName)
      if ((await placeOf(passwordFile)) === 'no folder') {
        return { state: 'by hand', detail: 'its password is made on a node' }
      }
      return { state: 'make', detail: `gives tokens of policy ${policyName}` }
    },
    async apply(admin, { state }) {
      const fields =
        state === 'change'
          ? mendedFields(policyName)
          : {
              ...tokenFields(policyName),
              password: await readSecretLine(passwordFile, 'auth.passwordFile'),
            }
      await admin.write(path, fields, v.unknown())
    },
    needs: (finding) => [roleNeed(path, finding)],
  }
}

export function tokenSteps({ tokenFile }: VaultAuthBy<'token'>, setup: Setup): SetupStep[] {
  const { cli, policyName, input } = setup
  const file = `${input.name}-token`
  const command = commandLine([
    ...[cli, 'token', 'create', '-orphan', `-period=${TOKEN_PERIOD}`],
    ...[`-policy=${policyName}`, '-no-default-policy', '-field=token'],
  ])
  const look = commandLine([cli, 'read', '-field=policies', 'auth/token/lookup-self'])
  const ofPolicy = `[ "$(export ${PREFIX[cli]}_TOKEN="$(cat ${word(file)})"; ${look} 2> /dev/null)" = ${word(`[${policyName}]`)} ]`
  const make = async (admin: VaultAdmin) => {
    const body = { policies: [policyName], no_default_policy: true, period: TOKEN_PERIOD }
    const made = await admin.write('auth/token/create-orphan', body, tokenAnswer)
    return made.auth.client_token
  }
  return [
    {
      what: `file ${tokenFile}`,
      why: [
        `A token that lives on as long as it is renewed: a node that is off for ${TOKEN_PERIOD} needs a new one. One for each node,`,
        'please. It is an orphan, since a token dies with the one that made it.',
      ],
      guard: [guardFile(file, ofPolicy, `holds no token of policy ${policyName}`)],
      commands: [intoFile(command, file), onNodes(file, tokenFile)],
      async look(admin) {
        const place = await placeOf(tokenFile)
        if (place === 'taken') return await judgeToken(tokenFile, policyName, admin)
        return fileFinding(place, 'a new token')
      },
      apply: (admin) => writeNewSecret(tokenFile, () => make(admin)),
      needs: () => [{ path: 'auth/token/create-orphan', capability: 'update', sudo: true }],
    },
  ]
}
