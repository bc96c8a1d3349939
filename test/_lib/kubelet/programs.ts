/** The programs of a node by their names, and its images; all made here, and none pulled. @module */

import { access } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import {
  containerdBinaries,
  etcdBinaries,
  kubernetesBinaries,
  nodeBinaries,
} from '../cluster/binaries.ts'
import { debianTool } from '../debian.ts'
import { buildGoProgram } from '../go/program.ts'
import { binary, DIST } from '../package/shipped.ts'

const PAUSE = 'pause'

/** What lies in `/usr/local/bin` of a node. */
export async function nodePrograms(): Promise<Readonly<Record<string, string>>> {
  const [node, cluster, etcd] = [
    await nodeBinaries(),
    await kubernetesBinaries(),
    await etcdBinaries(),
  ]
  return {
    kubelet: node.kubelet,
    kubeadm: node.kubeadm,
    kubectl: cluster.kubectl,
    etcdctl: etcd.etcdctl,
    trousseau: binary(process.arch === 'arm64' ? 'arm64' : 'x64'),
  }
}

/** What the images of kubeadm's control plane are made of, by the last part of their names. */
export async function imagePrograms(): Promise<Readonly<Record<string, string>>> {
  const [node, cluster, etcd] = [
    await nodeBinaries(),
    await kubernetesBinaries(),
    await etcdBinaries(),
  ]
  return {
    'kube-apiserver': cluster.apiServer,
    'kube-controller-manager': cluster.controllerManager,
    'kube-scheduler': node.scheduler,
    etcd: etcd.etcd,
    [PAUSE]: await buildGoProgram(PAUSE),
  }
}

/** A newer containerd, in place of Debian's. */
export async function newerContainerd(): Promise<Readonly<Record<string, string>>> {
  const { containerd, shim, ctr } = await containerdBinaries()
  return { containerd, 'containerd-shim-runc-v2': shim, ctr }
}

/** @throws Error where `npm run build:image` was not run */
export async function prepareNodes(): Promise<void> {
  for (const tool of ['containerd', 'runc', 'iproute2', 'zstd'] as const) await debianTool(tool)
  const all = [await nodePrograms(), await imagePrograms(), await newerContainerd()]
  for (const path of all.flatMap((each) => Object.values(each))) await access(path)
  await access(join(DIST, 'trousseau-image.tar'))
}
