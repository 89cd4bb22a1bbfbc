// kafkajs against the broker, a scenario a test.
import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'
import { broker, hear, numbers, rest, run, say, until } from './harness.js'

const { CompressionTypes, ConfigResourceTypes, Kafka, PartitionAssigners, Partitioners, logLevel } = kafkajs
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [broker], logLevel: logLevel.WARN, retry: { retries: 60, maxRetryTime: 500 } })

function newProducer(options) {
  return kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false, ...options })
}

async function withAdmin(action) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await action(admin)
  } finally {
    await admin.disconnect()
  }
}

function createTopic(topic, numPartitions = 1) {
  return withAdmin(admin => admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1 }], waitForLeaders: true }))
}

async function withProducer(options, action) {
  const producer = newProducer(options)
  await producer.connect()
  try {
    return await action(producer)
  } finally {
    await producer.disconnect()
  }
}

/** Reads a topic from its beginning until as many records are there, with a consumer that commits nothing. */
async function read(topic, count, options) {
  const records = []
  const consumer = kafka.consumer({ groupId: `reader-of-${topic}-${process.hrtime.bigint()}`, ...options })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: async ({ partition, message }) => { records.push({ partition, ...message }) } })
  await until(`${count} records of ${topic}`, () => records.length >= count)
  await consumer.disconnect()
  return records
}

function values(records) {
  return records.map(record => record.value.toString())
}

async function produceAndConsume() {
  await createTopic('records')
  for (const [acks, compression] of [[-1, CompressionTypes.None], [1, CompressionTypes.GZIP], [0, CompressionTypes.None]]) {
    await withProducer({}, producer => producer.send({
      topic: 'records',
      acks,
      compression,
      messages: numbers(100).map(number => ({
        key: `key-${number}`,
        value: `${acks}-${number}`,
        timestamp: `${1_000 + number}`,
        headers: { number: `${number}`, twice: ['one', 'two'] }
      }))
    }))
  }

  const records = await read('records', 300)

  assert.deepEqual(values(records), ['-1', '1', '0'].flatMap(acks => numbers(100).map(number => `${acks}-${number}`)))
  for (const [index, record] of records.entries()) {
    assert.equal(record.offset, `${index}`)
    assert.equal(record.key.toString(), `key-${index % 100}`)
    assert.equal(record.timestamp, `${1_000 + index % 100}`)
    assert.equal(record.headers.number.toString(), `${index % 100}`)
    assert.deepEqual(record.headers.twice.map(String), ['one', 'two'])
  }
}

async function timeLookup() {
  await createTopic('times')
  await withProducer({}, async producer => {
    for (const number of numbers(20)) {
      await producer.send({ topic: 'times', messages: [{ value: `${number}`, timestamp: `${number * 1_000}` }] })
    }
  })
  await withAdmin(async admin => {
    assert.deepEqual(await admin.fetchTopicOffsetsByTimestamp('times', 6_500), [{ partition: 0, offset: '7' }])
    const [offsets] = await admin.fetchTopicOffsets('times')
    assert.deepEqual(offsets, { partition: 0, offset: '20', high: '20', low: '0' })
  })
}

/** A member of a group that tells its assignment and what it reads, until it is killed or told to stop. */
async function member() {
  const [groupId, topic] = rest
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6_000, heartbeatInterval: 300, rebalanceTimeout: 10_000 })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say(`assigned ${(payload.memberAssignment[topic] ?? []).length}`))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ autoCommitInterval: 100, eachMessage: async ({ message }) => say(`saw ${message.value}`) })
  await hear()
  await consumer.disconnect()
}

/**
 * A member that tells what it reads until it is ended. Its assigner has kafkajs's own name, RoundRobinAssigner, which no other client knows; or, where
 * the test names another one, that name: its work is that of Java's roundrobin.
 */
async function memberOf() {
  const [groupId, topic, name] = rest
  const assigner = args => Object.assign(PartitionAssigners.roundRobin(args), name ? { name } : {})
  const consumer = kafka.consumer({
    groupId, sessionTimeout: 6_000, heartbeatInterval: 300, rebalanceTimeout: 10_000, partitionAssigners: [assigner]
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ autoCommitInterval: 100, eachMessage: async ({ partition, message }) => say(`saw ${partition}:${message.offset}`) })
  await hear()
  await consumer.disconnect()
}

/** Sends numbered records one batch after the other, and tells how many are acknowledged, until all are. */
async function produceThroughKills() {
  const [topic, count] = [rest[0], Number(rest[1])]
  await createTopic(topic)
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
    for (let first = 0; first < count; first += 10) {
      await producer.send({ topic, acks: -1, messages: numbers(10).map(number => ({ value: `${first + number}` })) })
      say(`acknowledged ${first + 10}`)
    }
  })
  assert.deepEqual(values(await read(topic, count)), numbers(count).map(String))
}

async function topicsAndSettings() {
  await withAdmin(async admin => {
    await createTopic('administered', 2)
    assert.ok(!(await admin.createTopics({ topics: [{ topic: 'administered' }] })))
    await admin.createPartitions({ topicPartitions: [{ topic: 'administered', count: 3 }] })
    const { topics: [topic] } = await admin.fetchTopicMetadata({ topics: ['administered'] })
    assert.equal(topic.partitions.length, 3)

    const resource = { type: ConfigResourceTypes.TOPIC, name: 'administered' }
    await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
    const { resources: [described] } = await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms', 'cleanup.policy'] }] })
    const settings = Object.fromEntries(described.configEntries.map(entry => [entry.configName, entry.configValue]))
    assert.deepEqual(settings, { 'retention.ms': '3600000', 'cleanup.policy': 'delete' })

    await admin.deleteTopics({ topics: ['administered'] })
    assert.ok(!(await admin.listTopics()).includes('administered'))
    const { brokers, controller } = await admin.describeCluster()
    assert.deepEqual(brokers.map(node => node.nodeId), [controller])
  })
}

async function deleteRecords() {
  await createTopic('shortened')
  await withProducer({}, producer => producer.send({ topic: 'shortened', messages: numbers(10).map(number => ({ value: `${number}` })) }))
  await withAdmin(async admin => {
    // Looked up first, since the client deletes records only of topics whose partitions it already knows.
    await admin.fetchTopicOffsets('shortened')
    await admin.deleteTopicRecords({ topic: 'shortened', partitions: [{ partition: 0, offset: '4' }] })
    assert.equal((await admin.fetchTopicOffsets('shortened'))[0].low, '4')
  })
  assert.deepEqual(values(await read('shortened', 6)), ['4', '5', '6', '7', '8', '9'])
}

async function groupsAndOffsets() {
  await createTopic('grouped', 2)
  const consumer = kafka.consumer({ groupId: 'administered' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'grouped', fromBeginning: true })
  await consumer.run({ eachMessage: async () => {} })
  await withAdmin(async admin => {
    await until('the group is stable', async () => (await admin.describeGroups(['administered'])).groups[0].state === 'Stable')
    const { groups: [group] } = await admin.describeGroups(['administered'])
    assert.equal(group.members.length, 1)
    assert.equal(group.members[0].clientId, 'kafkajs')
    assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === 'administered'))
    await assert.rejects(admin.deleteGroups(['administered']))
    await consumer.disconnect()

    await admin.setOffsets({ groupId: 'administered', topic: 'grouped', partitions: [{ partition: 0, offset: '7' }] })
    const [{ partitions }] = await admin.fetchOffsets({ groupId: 'administered', topics: ['grouped'] })
    assert.equal(partitions.find(({ partition }) => partition === 0).offset, '7')
    await admin.deleteGroups(['administered'])
    assert.ok(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === 'administered'))
  })
}

async function transactions() {
  await createTopic('input')
  await createTopic('output')
  await withProducer({ transactionalId: 'mover', idempotent: true, maxInFlightRequests: 1 }, async producer => {
    for (const [end, text] of [['commit', 'kept'], ['abort', 'dropped'], ['commit', 'kept too']]) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: 'output', messages: [{ value: text }] })
      await transaction.sendOffsets({
        consumerGroupId: 'movers',
        topics: [{ topic: 'input', partitions: [{ partition: 0, offset: `${text.length}` }] }]
      })
      await transaction[end]()
    }
  })

  assert.deepEqual(values(await read('output', 2)), ['kept', 'kept too'])
  assert.deepEqual(values(await read('output', 3, { readUncommitted: true })), ['kept', 'dropped', 'kept too'])
  await withAdmin(async admin => {
    const [{ partitions: [committed] }] = await admin.fetchOffsets({ groupId: 'movers', topics: ['input'] })
    assert.equal(committed.offset, `${'kept too'.length}`)
  })
}

async function fencing() {
  await createTopic('fenced')
  const options = { transactionalId: 'only-one', idempotent: true, maxInFlightRequests: 1, retry: { retries: 2, initialRetryTime: 50 } }
  const [first, second] = [newProducer(options), newProducer(options)]
  await first.connect()
  const stale = await first.transaction()
  await stale.send({ topic: 'fenced', messages: [{ value: 'stale' }] })
  await second.connect()
  const fresh = await second.transaction()
  await fresh.send({ topic: 'fenced', messages: [{ value: 'fresh' }] })
  await assert.rejects(stale.send({ topic: 'fenced', messages: [{ value: 'too late' }] }))
  await fresh.commit()
  await second.disconnect()
  assert.deepEqual(values(await read('fenced', 1)), ['fresh'])
}

await run({
  deleteRecords, fencing, groupsAndOffsets, member, memberOf, produceAndConsume, produceThroughKills, timeLookup, topicsAndSettings, transactions
})
