/** What the bundle's installer does about SELinux, on a node that seems to have it. @module */

import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { selinuxNode } from './selinux_node.ts'

const test = suite('package/airgap_selinux', () => ({}), 120_000)

/** Keeps its rules beside itself; the first argument that it takes is `fcontext`. */
const SEMANAGE = `
rules=$(dirname "$0")/rules
touch "$rules"
case $2 in
  -l) cat "$rules" ;;
  -a) echo "$5 all files system_u:object_r:$4:s0" >>"$rules" ;;
  -d) grep -vF -- "$3 " "$rules" >"$rules.new" || true; mv "$rules.new" "$rules" ;;
esac`
/** As where the policy calls /run an alias. */
const WITH_ALIAS = `case "$*" in *" -a "*" /run/"*) echo "conflicts with equivalency rule" >&2; exit 1 ;; esac
${SEMANAGE}`
const RULE = 'semanage fcontext -a -t container_file_t /run/trousseau(/.*)?'
const DOCTOR = ['doctor', '--config', '/etc/trousseau/trousseau.yaml', '--offline']
const changes = (calls: readonly string[]) => calls.filter((call) => !call.includes(' -l '))

test('install.sh labels the folders before the pod is put there, once, and --undo takes that back', async () => {
  await using node = await selinuxNode({
    enforce: '1',
    tools: { semanage: SEMANAGE, restorecon: '' },
  })

  const said = await node.install('--selinux-type', 'spc_t')

  assert.match(await node.pod(), /^ {4}seLinuxOptions: \{ type: "spc_t", level: s0 \}/m)
  assert.equal(changes(await node.calls()), [
    RULE,
    'restorecon -R /etc/trousseau',
    'restorecon -R /run/trousseau',
    'restorecon -R /var/lib/trousseau/state',
    'restorecon -R /usr/local/bin/trousseau',
    'restorecon -R /etc/tmpfiles.d/trousseau.conf',
  ])
  assert.ok(said.indexOf('label ') < said.indexOf('pod-manifests/trousseau.yaml'), said)
  assert.match(await node.program(...DOCTOR), /SELinux enforces; not seen, and not compared/)
  const again = await node.install('--selinux-type', 'spc_t')
  assert.ok(again.includes('Everything was as it should be'), again)
  assert.is((await node.calls()).filter((call) => call === RULE).length, 1)

  await node.install('--undo')
  assert.is((await node.calls()).at(-1), 'semanage fcontext -d /run/trousseau(/.*)?')
})

test('install.sh takes the other name of /run where the policy wants it, and takes that one back', async () => {
  await using node = await selinuxNode({
    enforce: '1',
    tools: { semanage: WITH_ALIAS, restorecon: '' },
  })

  await node.install('--selinux-type', 'spc_t')

  const asked = changes(await node.calls()).filter((call) => call.startsWith('semanage'))
  assert.equal(asked, [RULE, RULE.replace(' /run', ' /var/run')])
  assert.match(
    await node.install('--selinux-type', 'spc_t'),
    /^same +SELinux type of \/run\/trousseau/m,
  )
})

test('install.sh ends well without the tools, and says what is to be done by hand', async () => {
  await using node = await selinuxNode({ enforce: '1' })

  const said = await node.install('--selinux-type', 'spc_t')

  assert.match(said, /^hint +SELinux: semanage is not on the PATH/m)
  assert.match(
    said,
    /^ {2}semanage fcontext -a -t container_file_t '\/run\/trousseau\(\/\.\*\)\?'$/m,
  )
  assert.match(said, /^hint +SELinux: restorecon is not on the PATH/m)
  assert.match(said, /^health +ok$/m)
})

test('install.sh ends well where the tools fail', async () => {
  const tools = { semanage: 'echo planted >&2; exit 1', restorecon: 'exit 1' }
  await using node = await selinuxNode({ enforce: '0', tools })

  const said = await node.install('--selinux-type', 'spc_t')

  assert.match(said, /^hint +The policy did not take it/m)
  assert.match(said, /^hint +restorecon -R \/run\/trousseau failed$/m)
  assert.match(said, /^health +ok$/m)
})

test('install.sh says with SELinux and without a type that the pod may be denied its folders', async () => {
  await using node = await selinuxNode({
    enforce: '1',
    tools: { semanage: SEMANAGE, restorecon: '' },
  })

  const said = await node.install()

  assert.match(said, /^hint +SELinux: without --selinux-type the runtime chooses/m)
  assert.not.match(await node.pod(), /seLinuxOptions/)
  assert.equal(
    (await node.calls()).filter((call) => call.startsWith('semanage')),
    [],
  )
})

test('install.sh says and asks nothing where the kernel has no SELinux', async () => {
  await using node = await selinuxNode({ tools: { semanage: SEMANAGE, restorecon: '' } })

  const said = await node.install('--selinux-type', 'spc_t')

  assert.not.match(said, /selinux|label|hint/i)
  assert.equal(await node.calls(), [])
  assert.not.match(await node.program(...DOCTOR), /selinux/i)
})

test.run()
