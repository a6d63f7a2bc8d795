// Either end of the benchmarks with @ethereumjs/devp2p; results leave as JSON lines.
//
//   serve                                           {"id", "port"}; until its stdin closes
//   idle-serve                                      the same; "rss" on stdin -> {"rss_kib"}
//   client --connect ENODE --workload handshake     --count N --concurrency C
//   client --connect ENODE --workload stream        --size B --count N --data random|compressible
//   client --connect ENODE --workload rtt           --size B --count N
//   client --connect ENODE --workload idle          --count N; holds them until its stdin closes
//
// The package writes a frame's header and body apart, which on its Nagle-delayed sockets
// costs 40 ms wherever one end waits for the other. --no-delay lifts that at this end.

import { createECDH, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { Peer, RLPx } from '@ethereumjs/devp2p'
import { compress } from 'snappyjs'

const SINK = 0
const END = 1
const DONE = 2
const ECHO = 3

const MAX_PEERS = 1000
const TIMEOUT = 10000 // ms; the package's own default
const EMPTY = new Uint8Array()

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    connect: { type: 'string' },
    workload: { type: 'string' },
    count: { type: 'string', default: '1' },
    concurrency: { type: 'string', default: '1' },
    size: { type: 'string', default: '32' },
    data: { type: 'string', default: 'random' },
    'no-delay': { type: 'boolean', default: false },
  },
})
const count = Number(flags.count)
const concurrency = Number(flags.concurrency)
const size = Number(flags.size)

const print = (fields) => process.stdout.write(JSON.stringify(fields) + '\n')

// The package leaves snappy to the sender of a subprotocol message, and inflates what arrives.
class Bench {
  constructor(_version, peer, write) {
    this.socket = peer._socket
    this.write = write
    this.answered = () => {}
  }

  send(code, payload) {
    this.write(code, compress(payload))
  }

  _handleMessage(code, payload) {
    if (code === END) this.send(DONE, EMPTY)
    else if (code === ECHO) this.onEcho(payload)
    else if (code === DONE) this.answered()
  }

  onEcho(payload) {
    this.send(ECHO, payload)
  }
}

class BenchClient extends Bench {
  onEcho() {
    this.answered()
  }

  ask(code, payload) {
    const answer = new Promise((resolve) => (this.answered = resolve))
    this.send(code, payload)
    return answer
  }

  // The package ignores what its socket says of back-pressure.
  async drained() {
    if (this.socket.writableNeedDrain) await once(this.socket, 'drain')
  }
}

const identity = (constructor) => ({
  clientId: new TextEncoder().encode('ethereumjs/bench'),
  capabilities: [{ name: 'bench', version: 1, length: 16, constructor }],
})

async function serve() {
  const rlpx = new RLPx(Uint8Array.from(randomBytes(32)), { ...identity(Bench), maxPeers: MAX_PEERS })
  rlpx._server.on('connection', (socket) => socket.setNoDelay(flags['no-delay']))
  rlpx.listen(0, '127.0.0.1')
  await new Promise((resolve) => rlpx.events.once('listening', resolve))
  print({ id: Buffer.from(rlpx.id).toString('hex'), port: rlpx._server.address().port })
  createInterface({ input: process.stdin })
    .on('line', (line) => line === 'rss' && print({ rss_kib: residentKib() }))
    .on('close', () => process.exit(0))
}

function residentKib() {
  return Number(readFileSync('/proc/self/status', 'utf8').match(/^VmRSS:\s*(\d+)/m)[1])
}

// A Peer on a socket of our own: RLPx would allow one connection per node and delay the next.
// A fresh key each time, since a node also refuses the second connection of one key.
async function open() {
  const { username, hostname, port } = new URL(flags.connect)
  const key = createECDH('secp256k1')
  const id = Uint8Array.from(key.generateKeys()).subarray(1)
  const privateKey = Buffer.alloc(32)
  const secret = key.getPrivateKey()
  secret.copy(privateKey, 32 - secret.length) // OpenSSL drops leading zeros

  const socket = connect({ host: hostname, port: Number(port), noDelay: flags['no-delay'] })
  await once(socket, 'connect')
  const peer = new Peer({
    ...identity(BenchClient),
    id,
    privateKey,
    remoteId: Uint8Array.from(Buffer.from(username, 'hex')),
    socket,
    timeout: TIMEOUT,
    port: null,
  })
  // A connection lost later would leave a question unanswered for ever: fail instead.
  peer.events.on('error', fail)
  peer.events.once('close', (reason) => fail(new Error(`disconnected: ${reason}`)))
  // The package has no time limit on the handshake and no event for its failure.
  await new Promise((resolve, reject) => {
    peer.events.once('connect', resolve)
    socket.once('close', () => reject(new Error(`refused: ${peer._disconnectReason}`)))
    socket.once('timeout', () => reject(new Error('no handshake')))
    socket.setTimeout(TIMEOUT)
  })
  socket.setTimeout(0)
  return peer
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

// Run `task` count times, `width` at a time.
async function repeat(width, task) {
  let left = count
  const worker = async () => {
    while (left-- > 0) await task()
  }
  await Promise.all(Array.from({ length: width }, worker))
}

async function timed(task) {
  const start = performance.now()
  await task()
  return (performance.now() - start) / 1000
}

function payload() {
  if (flags.data === 'random') return Uint8Array.from(randomBytes(size))
  return Uint8Array.from(Buffer.alloc(size, 'all work and no play '))
}

const workloads = {
  async handshake() {
    const seconds = await timed(() => repeat(concurrency, shakeHands))
    print({ workload: 'handshake', count, concurrency, seconds })
  },

  async stream() {
    const bench = (await open()).getProtocols()[0]
    const data = payload()
    const seconds = await timed(async () => {
      for (let sent = 0; sent < count; sent++) {
        bench.send(SINK, data)
        await bench.drained()
      }
      await bench.ask(END, EMPTY)
    })
    print({ workload: 'stream', size, count, data: flags.data, seconds })
  },

  async rtt() {
    const bench = (await open()).getProtocols()[0]
    const data = payload()
    const seconds = await timed(() => repeat(1, () => bench.ask(ECHO, data)))
    print({ workload: 'rtt', size, count, seconds })
  },

  async idle() {
    await repeat(1, open)
    print({ workload: 'idle', connected: count })
    await once(process.stdin.resume(), 'end')
  },
}

// Half-closing flushes our Hello; the other end's close then says that it was read.
async function shakeHands() {
  const peer = await open()
  peer.events.removeAllListeners('close')
  peer._socket.end()
  await once(peer._socket, 'close')
}

const commands = {
  serve,
  'idle-serve': serve,
  async client() {
    await workloads[flags.workload]()
    process.exit(0)
  },
}

await commands[positionals[0]]()
