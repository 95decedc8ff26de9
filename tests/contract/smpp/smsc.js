// An SMSC of somebody else's making (npm smpp), told by lines of JSON on stdin what to do, and telling on stdout
// what it did. Accounts: hub / hubpw. Ids are hexadecimal; see "ids" for how receipts write them.
const smpp = require('smpp')
const { createInterface } = require('readline')

smpp.addTLV('customer_reference', { id: 0x1400, type: smpp.types.cstring })

const say = (what) => console.log(JSON.stringify(what))
const troubles = []
const receivers = new Set()
const known = new Map()
let ids = 'as_is'
let marks = true
let stats = {}
let sequence = 0xa00000 + (Date.now() % 1e6) // always with a letter

const stamp = () => new Date().toISOString().replace(/[-T:]/g, '').slice(2, 12)
const states = { DELIVRD: 2, EXPIRED: 3, UNDELIV: 5, REJECTD: 8 }
const refusals = { refuse: smpp.ESME_RINVDSTADR, throttle: smpp.ESME_RTHROTTLED, unavailable: smpp.ESME_RSYSERR }

function receipt(pdu, id) {
  const stat = stats[pdu.destination_addr] || 'DELIVRD'
  const written = ids === 'hex_to_decimal' ? String(parseInt(id, 16)).padStart(10, '0') : id
  const told = {
    source_addr: pdu.destination_addr, source_addr_ton: 1, source_addr_npi: 1,
    destination_addr: pdu.source_addr, dest_addr_ton: pdu.source_addr_ton, esm_class: 4,
    short_message: `id:${written} sub:001 dlvrd:001 submit date:${stamp()} done date:${stamp()} stat:${stat} err:000 text:`
  }
  if (ids === 'as_is') Object.assign(told, { receipted_message_id: id, message_state: states[stat] })
  if (marks && pdu.user_message_reference !== undefined) told.user_message_reference = pdu.user_message_reference
  if (marks && pdu.customer_reference) told.customer_reference = pdu.customer_reference
  for (const session of receivers) session.deliver_sm(told, (reply) => say({ acknowledged: reply.command_status, id }))
}

function submitted(session, pdu) {
  const trouble = troubles.shift()
  if (trouble === 'hang') return say({ hung: pdu.destination_addr })
  if (refusals[trouble]) return session.send(pdu.response({ command_status: refusals[trouble] }))
  const carried = pdu.short_message.message || pdu.message_payload
  const text = typeof carried === 'string' ? carried : (carried || {}).message
  const header = pdu.short_message.udh
  const id = (++sequence).toString(16)
  known.set(id, stats[pdu.destination_addr] || 'DELIVRD')
  say({
    took: text, id, to: pdu.destination_addr, from: pdu.source_addr, ton: pdu.source_addr_ton, coding: pdu.data_coding,
    header: header ? header.map((element) => element.toString('hex')) : null, payload: pdu.message_payload !== undefined,
    validity: pdu.validity_period, customer: pdu.customer_reference
  })
  if (trouble === 'cut') return session.destroy()
  session.send(pdu.response({ message_id: id }))
  if (pdu.registered_delivery & 1) setTimeout(() => receipt(pdu, id), 20)
}

const server = smpp.createServer({}, (session) => {
  session.on('error', () => {})
  session.on('close', () => { receivers.delete(session); say({ left: true }) })
  session.on('enquire_link', (pdu) => session.send(pdu.response()))
  session.on('unbind', (pdu) => { session.send(pdu.response()); say({ unbound: true }); session.close() })
  for (const kind of ['bind_transmitter', 'bind_receiver']) {
    session.on(kind, (pdu) => {
      if (pdu.system_id !== 'hub' || pdu.password !== 'hubpw') {
        const status = pdu.password === 'expired' ? smpp.ESME_RBINDFAIL : smpp.ESME_RINVPASWD
        session.send(pdu.response({ command_status: status }))
        return session.close()
      }
      session.send(pdu.response({ system_id: 'smsc' }))
      if (kind === 'bind_receiver') receivers.add(session)
      say({ bound: kind })
    })
  }
  session.on('submit_sm', (pdu) => submitted(session, pdu))
  session.on('query_sm', (pdu) => {
    const stat = known.get(pdu.message_id)
    if (!stat) return session.send(pdu.response({ command_status: smpp.ESME_RQUERYFAIL }))
    session.send(pdu.response({ message_id: pdu.message_id, final_date: stamp() + '00000+', message_state: states[stat] }))
  })
})

createInterface({ input: process.stdin }).on('line', (line) => {
  const told = JSON.parse(line)
  if (told.trouble) troubles.push(told.trouble)
  if (told.ids) ids = told.ids
  if (told.marks !== undefined) marks = told.marks
  if (told.stats) stats = told.stats
  if (told.enquire) for (const session of server.sessions) session.enquire_link({}, () => say({ alive: true }))
  if (told.reply) for (const session of receivers) session.deliver_sm(told.reply, (reply) => say({ acknowledged: reply.command_status }))
  say({ told: true })
}).on('close', () => process.exit(0))

server.listen(0, '127.0.0.1', () => say({ port: server.address().port }))
