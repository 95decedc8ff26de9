// A real PDS (@atproto/pds) beside an in-memory PLC directory, on 127.0.0.1, until SIGTERM or the end of a process.
// Arguments: the folder of node_modules, the folder for data, the file to write {"url", "secret", "bypass"} to once it answers, and
// the process to end with.
import crypto from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, data, answer, owner] = process.argv.slice(2)
const require = createRequire(path.join(modules, 'index.js'))

// Both servers listen everywhere unless told otherwise, and neither can be told.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === 'number' ? listen.call(this, port, '127.0.0.1', ...rest) : listen.call(this, port, ...rest)
}

async function freePort() {
  const server = net.createServer()
  await new Promise((done) => server.listen(0, done))
  const { port } = server.address()
  await new Promise((done) => server.close(done))
  return port
}

const plc = require('@did-plc/server')
const directory = plc.PlcServer.create({ db: plc.Database.mock(), port: await freePort() })
await directory.start()

const { PDS, envToCfg, envToSecrets } = await import(pathToFileURL(require.resolve('@atproto/pds')))
const port = await freePort()
fs.mkdirSync(path.join(data, 'blobs'), { recursive: true })
const secret = () => crypto.randomBytes(32).toString('hex')
const jwtSecret = secret()
const bypass = secret()
const env = {
  devMode: true,
  port,
  hostname: 'localhost',
  dataDirectory: data,
  blobstoreDiskLocation: path.join(data, 'blobs'),
  blobstoreDiskTmpLocation: path.join(data, 'tmp'),
  didPlcUrl: `http://127.0.0.1:${directory.ctx.port}`,
  serviceHandleDomains: ['.test'],
  inviteRequired: false,
  disableSsrfProtection: true,
  rateLimitsEnabled: true,
  rateLimitBypassKey: bypass,
  // nobody to tell: no relay crawls it, no AppView is asked
  crawlers: [],
  bskyAppViewUrl: 'http://127.0.0.1:1',
  bskyAppViewDid: 'did:example:invalid',
  jwtSecret,
  dpopSecret: secret(),
  adminPassword: secret(),
  plcRotationKeyK256PrivateKeyHex: secret(),
}
const server = await PDS.create(envToCfg(env), envToSecrets(env))
await server.start()

const stop = async () => {
  await server.destroy()
  await directory.destroy()
  process.exit(0)
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop)
setInterval(() => {
  try {
    process.kill(Number(owner), 0)
  } catch {
    stop()
  }
}, 500)
fs.writeFileSync(`${answer}.new`, JSON.stringify({ url: `http://127.0.0.1:${port}`, secret: jwtSecret, bypass }))
fs.renameSync(`${answer}.new`, answer)
