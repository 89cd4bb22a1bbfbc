// @platformatic/kafka against the broker, a scenario a test.
import assert from 'node:assert/strict'
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { broker, hear, numbers, rest, run, say, until } from './harness.js'

const topicResource = 2
const set = 0
const [readUncommitted, readCommitted] = [0, 1]
const connection = { clientId: 'platformatic', bootstrapBrokers: [broker], retries: 60, retryDelay: 250 }

async function using(client, action) {
  try {
    return await action(client)
  } finally {
    // Only clients that may have open streams take whether to close them too.
    await (client instanceof Admin ? client.close() : client.close(true))
  }
}

function withAdmin(action) {
  return using(new Admin(connection), action)
}

function withProducer(options, action) {
  return using(new Producer({ ...connection, serializers: stringSerializers, ...options }), action)
}

function newConsumer(groupId, options) {
  return new Consumer({ ...connection, groupId, deserializers: stringDeserializers, ...options })
}

function createTopic(topic, partitions = 1) {
  return withAdmin(admin => admin.createTopics({ topics: [topic], partitions, replicas: 1 }))
}

/** Reads a topic from its beginning until as many records are there, with a consumer that commits nothing. */
async function read(topic, count, isolationLevel = readCommitted) {
  const records = []
  await using(newConsumer(`reader-of-${topic}-${process.hrtime.bigint()}`), async consumer => {
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, isolationLevel, maxWaitTime: 500 })
    stream.on('data', record => records.push(record))
    await until(`${count} records of ${topic}`, () => records.length >= count)
  })
  return records
}

function values(records) {
  return records.map(record => record.value)
}

async function produceAndConsume() {
  await createTopic('records')
  for (const compression of ['none', 'gzip', 'snappy', 'lz4']) {
    await withProducer({}, producer => producer.send({
      acks: compression === 'none' ? 1 : -1,
      compression,
      messages: numbers(100).map(number => ({
        topic: 'records',
        key: `key-${number}`,
        value: `${compression}-${number}`,
        timestamp: BigInt(1_000 + number),
        headers: { number: `${number}` }
      }))
    }))
  }

  const records = await read('records', 400)

  assert.deepEqual(values(records), ['none', 'gzip', 'snappy', 'lz4'].flatMap(compression => numbers(100).map(number => `${compression}-${number}`)))
  for (const [index, record] of records.entries()) {
    assert.equal(record.offset, BigInt(index))
    assert.equal(record.key, `key-${index % 100}`)
    assert.equal(record.timestamp, BigInt(1_000 + index % 100))
    assert.equal(record.headers.get('number'), `${index % 100}`)
  }
}

async function timeLookup() {
  await createTopic('times')
  await withProducer({}, async producer => {
    for (const number of numbers(20)) {
      await producer.send({ acks: -1, messages: [{ topic: 'times', value: `${number}`, timestamp: BigInt(number * 1_000) }] })
    }
  })
  await using(newConsumer('lookups'), async consumer => {
    const found = await consumer.listOffsetsWithTimestamps({ topics: ['times'], timestamp: 6_500n })
    assert.deepEqual(found.get('times').get(0), { offset: 7n, timestamp: 7_000n })
    assert.deepEqual((await consumer.listOffsets({ topics: ['times'], timestamp: -1n })).get('times'), [20n])
    assert.deepEqual((await consumer.listOffsets({ topics: ['times'], timestamp: -2n })).get('times'), [0n])
  })
}

/** A member of a group that tells its assignment and what it reads, until it is killed or told to stop. */
async function member() {
  const [groupId, topic] = rest
  const consumer = newConsumer(groupId, { sessionTimeout: 6_000, heartbeatInterval: 300, rebalanceTimeout: 10_000 })
  consumer.on('consumer:group:join', ({ assignments }) => say(`assigned ${assignments?.find(part => part.topic === topic)?.partitions.length ?? 0}`))
  const stream = await consumer.consume({
    topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: 100, maxWaitTime: 500
  })
  stream.on('data', record => say(`saw ${record.value}`))
  await hear()
  await consumer.close(true)
}

/** Sends numbered records one batch after the other, and tells how many are acknowledged, until all are. */
async function produceThroughKills() {
  const [topic, count] = [rest[0], Number(rest[1])]
  await createTopic(topic)
  await withProducer({ idempotent: true }, async producer => {
    for (let first = 0; first < count; first += 10) {
      await producer.send({ acks: -1, messages: numbers(10).map(number => ({ topic, value: `${first + number}` })) })
      say(`acknowledged ${first + 10}`)
    }
  })
  assert.deepEqual(values(await read(topic, count)), numbers(count).map(String))
}

async function topicsAndSettings() {
  await withAdmin(async admin => {
    const [created] = await admin.createTopics({ topics: ['administered'], partitions: 2, replicas: 1, configs: [{ name: 'retention.ms', value: '3600000' }] })
    assert.equal(created.partitions, 2)
    await assert.rejects(admin.createTopics({ topics: ['administered'] }))
    await admin.createPartitions({ topics: [{ name: 'administered', count: 3 }] })
    const metadata = await admin.metadata({ topics: ['administered'], forceUpdate: true })
    assert.equal(metadata.topics.get('administered').partitionsCount, 3)

    const resource = { resourceType: topicResource, resourceName: 'administered' }
    await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name: 'segment.bytes', configOperation: set, value: '1048576' }] }] })
    const [{ configs }] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: ['retention.ms', 'segment.bytes', 'cleanup.policy'] }] })
    assert.deepEqual(
      Object.fromEntries(configs.map(({ name, value }) => [name, value])),
      { 'cleanup.policy': 'delete', 'retention.ms': '3600000', 'segment.bytes': '1048576' })

    await admin.deleteTopics({ topics: ['administered'] })
    assert.ok(!(await admin.listTopics()).includes('administered'))
  })
}

async function deleteRecords() {
  await createTopic('shortened')
  await withProducer({}, producer => producer.send({ acks: -1, messages: numbers(10).map(number => ({ topic: 'shortened', value: `${number}` })) }))
  await withAdmin(async admin => {
    const [topic] = await admin.deleteRecords({ topics: [{ name: 'shortened', partitions: [{ partition: 0, offset: 4n }] }] })
    assert.equal(topic.partitions[0].lowWatermark, 4n)
  })
  assert.deepEqual(values(await read('shortened', 6)), ['4', '5', '6', '7', '8', '9'])
}

async function groupsAndOffsets() {
  await createTopic('grouped', 2)
  await withAdmin(async admin => {
    await using(newConsumer('administered'), async consumer => {
      await consumer.consume({ topics: ['grouped'], mode: MessagesStreamModes.EARLIEST })
      const group = await until('the group is stable', async () => {
        const described = (await admin.describeGroups({ groups: ['administered'] })).get('administered')
        return described.state === 'STABLE' && described
      })
      const [described] = group.members.values()
      assert.equal(described.clientId, 'platformatic')
      assert.deepEqual(described.assignments.get('grouped').partitions, [0, 1])
      assert.ok((await admin.listGroups()).has('administered'))
      await assert.rejects(admin.deleteGroups({ groups: ['administered'] }))
    })

    await admin.alterConsumerGroupOffsets({ groupId: 'administered', topics: [{ name: 'grouped', partitionOffsets: [{ partition: 0, offset: 7n }] }] })
    const [{ topics: [topic] }] = await admin.listConsumerGroupOffsets({ groups: ['administered'] })
    assert.equal(topic.partitions.find(({ partitionIndex }) => partitionIndex === 0).committedOffset, 7n)
    await admin.deleteConsumerGroupOffsets({ groupId: 'administered', topics: [{ name: 'grouped', partitionIndexes: [0] }] })
    await admin.deleteGroups({ groups: ['administered'] })
    assert.ok(!(await admin.listGroups()).has('administered'))
  })
}

async function transactions() {
  await createTopic('input')
  await createTopic('output')
  await withProducer({}, producer => producer.send({ acks: -1, messages: numbers(3).map(number => ({ topic: 'input', value: `${number}` })) }))
  await using(newConsumer('movers'), async consumer => {
    await withProducer({ transactionalId: 'mover', idempotent: true }, async producer => {
      const input = []
      const stream = await consumer.consume({ topics: ['input'], mode: MessagesStreamModes.EARLIEST, autocommit: false, isolationLevel: readCommitted })
      stream.on('data', record => input.push(record))
      await until('the input is read', () => input.length === 3)
      for (const [index, end] of ['commit', 'abort', 'commit'].entries()) {
        const transaction = await producer.beginTransaction()
        await transaction.addConsumer(consumer)
        await transaction.send({ acks: -1, messages: [{ topic: 'output', value: input[index].value }] })
        await transaction.addOffset(input[index])
        await transaction[end]()
      }
    })
  })

  assert.deepEqual(values(await read('output', 2)), ['0', '2'])
  assert.deepEqual(values(await read('output', 3, readUncommitted)), ['0', '1', '2'])
  await withAdmin(async admin => {
    const [{ topics: [topic] }] = await admin.listConsumerGroupOffsets({ groups: ['movers'] })
    assert.equal(topic.partitions[0].committedOffset, 3n)
  })
}

async function fencing() {
  await createTopic('fenced')
  const options = { transactionalId: 'only-one', idempotent: true, retries: 0 }
  await withProducer(options, first => withProducer(options, async second => {
    const stale = await first.beginTransaction()
    await stale.send({ acks: -1, messages: [{ topic: 'fenced', value: 'stale' }] })
    const fresh = await second.beginTransaction()
    await fresh.send({ acks: -1, messages: [{ topic: 'fenced', value: 'fresh' }] })
    await assert.rejects(stale.send({ acks: -1, messages: [{ topic: 'fenced', value: 'too late' }] }))
    await fresh.commit()
  }))
  assert.deepEqual(values(await read('fenced', 1)), ['fresh'])
}

await run({
  deleteRecords, fencing, groupsAndOffsets, member, produceAndConsume, produceThroughKills, timeLookup, topicsAndSettings, transactions
})
