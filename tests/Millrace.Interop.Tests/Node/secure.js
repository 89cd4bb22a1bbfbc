// kafkajs with TLS and logins. Usage: secure.js HOST:PORT MECHANISM USER PASSWORD AUTHORITY      an empty word for none
import { readFileSync } from 'node:fs'
import kafkajs from 'kafkajs'

const [address, mechanism, username, password, authority] = process.argv.slice(2)
const kafka = new kafkajs.Kafka({
  clientId: 'kafkajs',
  brokers: [address],
  logLevel: kafkajs.logLevel.NOTHING,
  retry: { retries: 2 },
  ssl: authority ? { ca: [readFileSync(authority, 'utf8')] } : undefined,
  sasl: mechanism ? { mechanism, username, password } : undefined
})

try {
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  await producer.send({ topic: 'records', messages: [{ value: 'hello' }] })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: 'readers' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'records', fromBeginning: true })
  const value = await new Promise(resolve => consumer.run({ eachMessage: async ({ message }) => resolve(message.value.toString()) }))
  await consumer.disconnect()
  console.log(`read ${value}`)
} catch (error) {
  console.log(`failed ${error.name}: ${error.message}`)
  process.exit(1)
}
