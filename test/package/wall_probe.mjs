// Tries from inside the container what its walls deny, and prints one line of JSON. The arguments: a folder that is
// mounted, and a file of the node that is not.
import childProcess from 'node:child_process'
import fs from 'node:fs'
import process from 'node:process'

const [mounted, elsewhere] = process.argv.slice(2)
const attempts = {
  'write in a mounted folder': () => fs.writeFileSync(`${mounted}/written`, ''),
  'read a file of the node': () => fs.readFileSync(elsewhere),
  'read the passwords of the node': () => fs.readFileSync('/etc/shadow'),
  'open the memory of the node': () => fs.openSync('/dev/mem'),
  'read the log of the kernel': () => fs.openSync('/dev/kmsg'),
  'write over the program': () => fs.writeFileSync('/usr/bin/trousseau', ''),
  'write over an authority': () => fs.appendFileSync('/etc/ssl/certs/ca-certificates.crt', ' '),
  'write beside the libraries': () => fs.writeFileSync('/usr/lib/written.so', ''),
  'change the kernel': () => fs.writeFileSync('/proc/sys/kernel/core_pattern', 'core'),
  'become root': () => process.setuid(0),
  'give a file to root': () => fs.chownSync(`${mounted}/written`, 0, 0),
  'start a process': () => childProcess.execFileSync('/usr/bin/trousseau', ['version']),
  'become another program': () => process.execve('/usr/bin/trousseau', ['trousseau', 'version']),
  'load native code': () => process.dlopen({ exports: {} }, `${mounted}/written`),
  'see other processes': () => {
    const others = fs
      .readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`)
    if (others.length === 0) throw Object.assign(new Error('None'), { code: 'NONE' })
  },
  // Says that it dropped the right, and drops no part of what a flag gave as a whole.
  'read what was dropped': () => {
    process.permission.drop('fs.read', '/etc')
    fs.readFileSync('/etc/passwd')
  },
}
const answers = Object.entries(attempts).map(([name, attempt]) => {
  try {
    attempt()
    return [name, 'allowed']
  } catch ({ code, name: kind }) {
    return [name, code ?? kind]
  }
})
process.stdout.write(`${JSON.stringify(Object.fromEntries(answers))}\n`)
