// An SMSC for measurements, of npm's smpp: takes any account and every message, and tells of each a receipt
// "DELIVRD" to whoever has bound a receiver, when one was asked for. It writes nothing for each message; what it
// counted since it began, it tells on a second port (a JSON object for each HTTP request).
const smpp = require('smpp')
const http = require('http')

const [port, counts] = process.argv.slice(2).map(Number)
const WINDOW = 500 // receipts that a receiver may have unacknowledged
const told = { submits: 0, receipts: 0, acknowledged: 0, refused: 0, receivers: 0 }
const receivers = new Set()
let waiting = []
let first = 0 // of those that wait: to shift a long array would take longer than to tell
let under = 0
let sequence = 0

const stamp = () => new Date().toISOString().replace(/[-T:]/g, '').slice(2, 12)

function tell() {
  const [receiver] = receivers
  while (receiver && first < waiting.length && under < WINDOW) {
    const receipt = waiting[first++]
    if (first === waiting.length) { waiting = []; first = 0 }
    under++
    told.receipts++
    receiver.deliver_sm(receipt, (reply) => {
      under--
      if (reply.command_status) {
        told.refused++
        waiting.push(receipt) // it asked to be told again
      } else told.acknowledged++
      setImmediate(tell)
    })
  }
}

function submitted(session, pdu) {
  told.submits++
  const id = (++sequence).toString(16).padStart(8, '0')
  session.send(pdu.response({ message_id: id }))
  if (!(pdu.registered_delivery & 1)) return
  const now = stamp()
  waiting.push({
    source_addr: pdu.destination_addr, source_addr_ton: 1, source_addr_npi: 1,
    destination_addr: pdu.source_addr, dest_addr_ton: pdu.source_addr_ton, esm_class: 4,
    receipted_message_id: id, message_state: 2,
    short_message: `id:${id} sub:001 dlvrd:001 submit date:${now} done date:${now} stat:DELIVRD err:000 text:`
  })
  tell()
}

const server = smpp.createServer({}, (session) => {
  session.on('error', () => {})
  session.on('close', () => {
    if (receivers.delete(session)) under = 0
    told.receivers = receivers.size
  })
  session.on('enquire_link', (pdu) => session.send(pdu.response()))
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close() })
  for (const kind of ['bind_transmitter', 'bind_receiver']) {
    session.on(kind, (pdu) => {
      session.send(pdu.response({ system_id: 'smsc' }))
      if (kind === 'bind_receiver') receivers.add(session)
      told.receivers = receivers.size
      tell()
    })
  }
  session.on('submit_sm', (pdu) => submitted(session, pdu))
})

server.listen(port, '127.0.0.1', () => {
  http.createServer((_, answer) => answer.end(JSON.stringify(told))).listen(counts, '127.0.0.1')
})
