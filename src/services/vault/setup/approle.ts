/** AppRole: the role, and its two credentials on the nodes. @module */

import * as v from 'valibot'
import { commandLine, word } from '../../../base/shell.ts'
import { readSecretFile } from '../../../remote/secret_file.ts'
import type { VaultAuthBy } from '../login/auth.ts'
import type { VaultAdmin } from './admin.ts'
import { judgeSecretId, judgeWrapped } from './credentials.ts'
import { fileFinding, placeOf, writeNewSecret } from './files.ts'
import type { Setup } from './input.ts'
import { mountStep } from './mount.ts'
import { readRole, roleStep } from './role.ts'
import { guardFile, intoFile, onNodes } from './shell.ts'
import type { SetupStep, StepFinding } from './step.ts'

type ApproleAuth = VaultAuthBy<'approle'>

const roleIdAnswer = v.object({ role_id: v.pipe(v.string(), v.nonEmpty()) })
const madeAnswer = v.object({
  data: v.object({ secret_id: v.pipe(v.string(), v.nonEmpty()) }),
})

export function approleSteps(auth: ApproleAuth, setup: Setup): SetupStep[] {
  const path = `auth/${auth.mount}/role/${setup.role}`
  return [
    mountStep(setup, { kind: 'auth', path: auth.mount, type: 'approle' }),
    roleStep(setup, {
      path,
      why: [
        'The role. secret_id_bound_cidrs=... and token_bound_cidrs=... bind it to the addresses of the nodes.',
      ],
      bounds: {},
    }),
    roleIdStep(setup, auth, path),
    auth.secretIdFile === undefined
      ? noSecretIdStep(setup, path)
      : secretIdStep(setup, { ...auth, secretIdFile: auth.secretIdFile }, path),
  ]
}

/**
 * For a role without secret ids, whoever knows the role id can log in; so the operator must decide
 * what else the role is bound to.
 */
function noSecretIdStep({ cli }: Setup, path: string): SetupStep {
  return {
    what: `role ${path} without secret ids`,
    why: [
      'The config names no auth.secretIdFile. Bind the role to the addresses of the nodes instead: without that',
      'whoever knows the role id is let in.',
    ],
    commands: [
      commandLine([cli, 'write', path, 'bind_secret_id=false', 'token_bound_cidrs=<ADDRESS/32>']),
    ],
    fillIn: true,
    async look(admin) {
      if ((await readRole(path, admin))?.bind_secret_id === false)
        return { state: 'ok', detail: '' }
      return { state: 'by hand', detail: 'or name auth.secretIdFile in the config' }
    },
  }
}

function roleIdStep({ cli, input }: Setup, auth: ApproleAuth, role: string): SetupStep {
  const path = `${role}/role-id`
  const command = commandLine([cli, 'read', '-field=role_id', path])
  const { roleIdFile } = auth
  if (roleIdFile === undefined) {
    return {
      what: 'role id in the config',
      why: ['auth.roleId of the config is what this prints.'],
      commands: [command],
      async look(admin) {
        const found = await admin.read(path, roleIdAnswer)
        if (found === undefined)
          return { state: 'by hand', detail: 'put that of the new role there' }
        return found.role_id === auth.roleId
          ? { state: 'ok', detail: '' }
          : { state: 'by hand', detail: 'it is not that of the role' }
      },
    }
  }
  const file = `${input.name}-role-id`
  return {
    what: `file ${roleIdFile}`,
    why: ['Says who the plugin is.'],
    guard: [
      guardFile(
        file,
        `there ${command} && [ "$found" = "$(cat ${word(file)})" ]`,
        `is not of role ${role}`,
      ),
    ],
    commands: [intoFile(command, file), onNodes(file, roleIdFile)],
    async look(admin) {
      const place = await placeOf(roleIdFile)
      if (place !== 'taken') return fileFinding(place, 'the role id')
      return await judgeRoleId(roleIdFile, path, admin)
    },
    async apply(admin) {
      await writeNewSecret(roleIdFile, async () => {
        const made = await admin.read(path, roleIdAnswer)
        return made?.role_id ?? ''
      })
    },
    needs: () => [{ path, capability: 'read' }],
  }
}

async function judgeRoleId(file: string, path: string, admin: VaultAdmin): Promise<StepFinding> {
  const [inFile, found] = [
    await readSecretFile(file, 'auth.roleIdFile'),
    await admin.read(path, roleIdAnswer),
  ]
  if (inFile === found?.role_id) return { state: 'ok', detail: '' }
  return {
    state: 'refused',
    detail: 'holds the id of another role: move the file away, or name that role',
  }
}

type WithSecretId = ApproleAuth & { readonly secretIdFile: string }

function secretIdStep({ cli, input }: Setup, auth: WithSecretId, role: string): SetupStep {
  const path = `${role}/secret-id`
  const { secretIdFile, wrappedRole } = auth
  const file = `${input.name}-secret-id`
  const wrapped = wrappedRole !== undefined
  const field = wrapped ? ['-wrap-ttl=24h', '-field=wrapping_token'] : ['-field=secret_id']
  const command = commandLine([cli, 'write', '-f', ...field, path])
  const step: SetupStep = {
    what: `file ${secretIdFile}`,
    why: [
      'Proves it. With one for each node, one node can be locked out; cidr_list=ADDRESS/32 token_bound_cidrs=ADDRESS/32',
      'make it worthless elsewhere.',
      ...(wrapped ? ['Wrapped: it is opened once, within a day. A restart needs a new one.'] : []),
    ],
    guard: [
      guardFile(
        file,
        `there ${commandLine([cli, 'read', role])}`,
        `is not of role ${role}, which is not there`,
      ),
    ],
    commands: [intoFile(command, file), onNodes(file, secretIdFile)],
    look: (admin) => lookAtSecretId(auth, role, admin),
  }
  if (wrapped) return step
  const apply = (admin: VaultAdmin) =>
    writeNewSecret(secretIdFile, async () => {
      const { data } = await admin.write(path, {}, madeAnswer)
      return data.secret_id
    })
  return { ...step, apply, needs: () => [{ path, capability: 'update' }] }
}

async function lookAtSecretId(
  { roleIdFile, secretIdFile, wrappedRole }: WithSecretId,
  role: string,
  admin: VaultAdmin,
): Promise<StepFinding> {
  const judge = wrappedRole === undefined ? judgeSecretId : judgeWrapped
  if (secretIdFile === roleIdFile) {
    return { state: 'refused', detail: 'is that of the role id too: name another in the config' }
  }
  const place = await placeOf(secretIdFile)
  if (place === 'taken') return await judge(secretIdFile, role, admin)
  if ((await readRole(role, admin))?.bind_secret_id === false) {
    const detail = 'the role takes no secret ids (bind_secret_id=false): change that by hand'
    return { state: 'refused', detail }
  }
  if (place === 'free' && wrappedRole !== undefined) {
    return { state: 'by hand', detail: 'a wrapped secret id is made right before its use' }
  }
  return fileFinding(place, 'a new secret id')
}
