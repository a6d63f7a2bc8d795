// An @ethereumjs/devp2p peer for the interop tests: commands come as JSON lines on
// stdin, events leave as JSON lines on stdout, and the process ends with its stdin.

import { createCipheriv, createECDH, createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { DPT, Peer, RLPx } from '@ethereumjs/devp2p'
import { compress } from 'snappyjs'

const REQUEST = 0
const REPLY = 1
const CLIENT_QUITTING = 8
const SNAPPY_VERSION = 5 // the p2p version from which payloads are compressed
const MAX_FRAME = 0xffffff // the frame header holds the size in three bytes
const REFRESH_INTERVAL = 2000 // ms in which every node in the table is asked for others once
const STOP_TIMEOUT = 3000 // ms; the package closes a socket 2 s after its Disconnect

const { values: flags } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    key: { type: 'string', default: randomBytes(32).toString('hex') },
    name: { type: 'string', default: 'ethereumjs/interop' },
    'max-peers': { type: 'string', default: '50' },
    caps: { type: 'string', default: 'echo/1/2' },
    discovery: { type: 'boolean', default: false },
    bootnodes: { type: 'string', default: '' },
  },
})

const hex = (bytes) => Buffer.from(bytes ?? []).toString('hex')
const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'))
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const emit = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const label = ({ name, version }) => `${name}/${version}`

// Incompressible, and the same for the same seed: an AES-CTR key stream.
function pseudoRandom(size, seed) {
  const key = createHash('sha256').update(String(seed)).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

function parseEnode(text) {
  const { username, hostname, port, searchParams } = new URL(text)
  const udpPort = Number(searchParams.get('discport') ?? port)
  return { id: unhex(username), address: hostname, tcpPort: Number(port), udpPort }
}

// The package does not export its Protocol base class and asks of a capability only this
// shape. (The base class would also end a connection that brings no eth Status in 5 s.)
class Echo {
  constructor(capability, peer, send) {
    this.label = label(capability)
    this.peer = peer
    this.write = send
  }

  // The package inflates what it receives and leaves deflating to each protocol.
  send(code, payload) {
    const snappy = this.peer.getHelloMessage().protocolVersion >= SNAPPY_VERSION
    const body = snappy ? compress(payload) : payload
    // Past this the package would write a four-byte size and garble the stream.
    if (body.length + 1 > MAX_FRAME) throw new RangeError(`${body.length} bytes do not fit a frame`)
    this.write(code, body)
  }

  _handleMessage(code, payload) {
    const event = { [REQUEST]: 'request', [REPLY]: 'reply' }[code]
    if (event === undefined) throw new RangeError(`unknown ${this.label} message ${code}`)
    emit(event, {
      id: hex(this.peer.getId()),
      cap: this.label,
      size: payload.length,
      sha256: sha256(payload),
    })
    if (code === REQUEST) this.send(REPLY, payload)
  }
}

function capability(text) {
  const [name, version, length] = text.split('/')
  const self = { name, version: Number(version), length: Number(length) }
  self.constructor = class extends Echo {
    constructor(_version, peer, send) {
      super(self, peer, send)
    }
  }
  return self
}

const privateKey = unhex(flags.key)
const capabilities = flags.caps.split(',').filter(Boolean).map(capability)
const clientId = new TextEncoder().encode(flags.name)
const rlpx = new RLPx(privateKey, { capabilities, clientId, maxPeers: Number(flags['max-peers']) })

// Peers by id. The package's own map forgets a peer when a duplicate of it is refused.
const peers = new Map()
const errors = new WeakMap()

function added(peer) {
  const id = hex(peer.getId())
  const { clientId: name, capabilities: caps } = peer.getHelloMessage()
  peers.set(id, peer)
  // Only the side that was dialled reads an auth message.
  emit('add', { id, name, caps: caps.map(label), inbound: peer._eciesSession._gotEIP8Auth })
}

function failed(peer, error) {
  const text = error?.message ?? String(error)
  errors.set(peer, text)
  emit('error', { error: text })
}

function dropped(peer) {
  const id = hex(peer.getId())
  if (peers.get(id) === peer) peers.delete(id)
  emit('drop', {
    id,
    reason: peer._disconnectReason ?? null,
    we: peer._disconnectWe === true,
    error: errors.get(peer) ?? '',
  })
}

// RLPx is silent about connections that end before both Hellos, and the Disconnect
// received then is what a test wants to see: report from where each socket ends.
const onSocketClose = Peer.prototype._onSocketClose
Peer.prototype._onSocketClose = function () {
  onSocketClose.call(this)
  dropped(this)
}

rlpx.events.on('peer:added', added)
rlpx.events.on('peer:error', failed)
rlpx.events.on('error', (error) => {
  emit('error', { error: error.message })
  process.exit(1)
})

// Discovery, which tells of what it finds. RLPx is not told, so it dials nobody by itself.
async function discover(tcpPort) {
  const endpoint = { address: '127.0.0.1', tcpPort, udpPort: null }
  const dpt = new DPT(privateKey, { endpoint, refreshInterval: REFRESH_INTERVAL })
  dpt.events.on('peer:added', ({ id, address, ...ports }) => emit('found', { id: hex(id), address, ...ports }))
  dpt.events.on('error', (error) => emit('error', { error: error.message }))
  dpt.bind(0, endpoint.address)
  await new Promise((resolve) => dpt.events.once('listening', resolve))
  endpoint.udpPort = dpt._server._socket.address().port // it is sent with every ping
  for (const text of flags.bootnodes.split(',').filter(Boolean)) dpt.bootstrap(parseEnode(text))
  return endpoint.udpPort
}

function find(id) {
  const peer = peers.get(id)
  if (peer === undefined) throw new Error(`no peer ${id}`)
  return peer
}

const commands = {
  async dial({ enode }) {
    try {
      await rlpx.connect(parseEnode(enode))
    } catch (error) {
      emit('dial-error', { error: error.message })
    }
  },

  // Auth is signed with our key while Hello names another.
  async 'wrong-id-dial'({ enode }) {
    const { id, address, tcpPort } = parseEnode(enode)
    const socket = connect(tcpPort, address)
    try {
      await once(socket, 'connect')
    } catch (error) {
      return emit('dial-error', { error: error.message })
    }
    const peer = new Peer({
      socket, privateKey, capabilities, clientId, id: rlpx.id, remoteId: id, timeout: 10000, port: null,
    })
    peer.id = Uint8Array.from(createECDH('secp256k1').generateKeys()).subarray(1)
    peer.events.once('connect', () => added(peer))
    peer.events.on('error', (error) => failed(peer, error))
  },

  send({ id, cap, size, seed }) {
    const protocol = find(id).getProtocols().find((each) => each.label === cap)
    if (protocol === undefined) throw new Error(`${id} does not share ${cap}`)
    const payload = pseudoRandom(size, seed)
    protocol.send(REQUEST, payload)
    emit('sent', { id, size, sha256: sha256(payload) })
  },

  disconnect({ id, reason }) {
    find(id).disconnect(reason)
  },

  async stop() {
    const closed = [...peers.values()].map((peer) => once(peer._socket, 'close'))
    for (const peer of peers.values()) peer.disconnect(CLIENT_QUITTING)
    rlpx.destroy()
    setTimeout(stopped, STOP_TIMEOUT)
    await Promise.allSettled(closed)
    stopped()
  },
}

function stopped() {
  emit('stopped')
  process.exit(0)
}

async function run(line) {
  try {
    const { cmd, ...args } = JSON.parse(line)
    if (!Object.hasOwn(commands, cmd)) throw new Error(`unknown command ${cmd}`)
    await commands[cmd](args)
  } catch (error) {
    emit('error', { error: error.message })
  }
}

let port = 0
if (flags.listen !== '') {
  const [, host, wanted] = flags.listen.match(/^(.*):(\d+)$/)
  rlpx.listen(Number(wanted), host)
  await new Promise((resolve) => rlpx.events.once('listening', resolve))
  port = rlpx._server.address().port
}
const id = hex(rlpx.id)
const query = flags.discovery ? `?discport=${await discover(port)}` : ''
emit('ready', { enode: `enode://${id}@127.0.0.1:${port}${query}`, id, port })

createInterface({ input: process.stdin })
  .on('line', run)
  .on('close', () => process.exit(0))
