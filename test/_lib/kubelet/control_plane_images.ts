/** The images that kubeadm names, made of the built programs; each once in a process. @module */

import { rmSync } from 'node:fs'
import process from 'node:process'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { imageOf } from './images.ts'
import type { Machine } from './machine.ts'
import { importImage } from './node.ts'
import { imagePrograms } from './programs.ts'

const made = new Map<string, Promise<string>>()
let drafts: Promise<TempFolder> | undefined

/** @param release whose names they get, with a `v`; the programs are the same */
export async function importControlPlane(machine: Machine, release?: string): Promise<void> {
  const named = release ?? (await ownRelease(machine))
  const list = ['config', 'images', 'list', `--kubernetes-version=${named}`]
  const programs = await imagePrograms()
  for (const reference of (await machine.run('kubeadm', ...list)).trim().split('\n')) {
    const name = /([^/]+):[^:]+$/.exec(reference)?.[1] ?? ''
    const program = programs[name]
    // Of what kubeadm installs besides the control plane there are no images here.
    if (program !== undefined) await importImage(machine, await tarOf(reference, program, name))
  }
}

/** As kubeadm writes it, with a `v`. */
export async function ownRelease(machine: Machine): Promise<string> {
  return (await machine.run('kubeadm', 'version', '--output=short')).trim()
}

/** Several machines want the same ones. */
async function tarOf(reference: string, program: string, name: string): Promise<string> {
  drafts ??= tempFolder().then((folder) => {
    process.once('exit', () => rmSync(folder.path, { recursive: true, force: true }))
    return folder
  })
  const folder = await drafts
  const found = made.get(reference) ?? imageOf(folder, reference, program, name)
  made.set(reference, found)
  return await found
}
