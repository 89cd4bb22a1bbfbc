using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>
/// An idempotent producer that has several batches on their way over two connections, so that they arrive in any order, twice, or long after they were given up.
/// </summary>
internal sealed class IdempotentProducer(BrokerSimulation world, short acks) : BrokerProgram(world)
{
    private const int MaxInFlight = 5;
    private const short Version = 9;

    private Session? _session;

    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            if (await InitAsync() is not { } session)
            {
                continue;
            }

            _session = session;
            while (!World.IsEnding && !session.IsBroken)
            {
                Lane lane = session.Lane(World.PickPartition());

                // The first batch goes alone, as that of other clients: of a producer that the partition does not know, any sequence is a beginning.
                int inFlightLimit = lane.IsKnown ? MaxInFlight : 1;
                if (lane.Unanswered.Count < inFlightLimit)
                {
                    ModelRecord[] records = NewRecords(lane.Partition, isForDisk: acks == -1);
                    Batch batch = new(records, Build(records, Identity(session), lane.NextSequence), lane.NextSequence);
                    lane.NextSequence += records.Length;
                    lane.Unanswered.Add(batch);
                    World.Start(() => DeliverAsync(session, lane, batch));
                }

                if (World.Chance(50) || lane.Unanswered.Count >= inFlightLimit)
                {
                    await World.PauseAsync();
                }
            }
        }
    }

    private ProducerIdentity Identity(Session session) => World.Sabotage == BrokerSabotage.ForgetSequences ? ProducerIdentity.None : session.Producer;

    private async Task<Session?> InitAsync()
    {
        SimulatedLink link = await LinkAsync();
        InitProducerIdResponse? response = await link.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(new InitProducerIdRequest(), 4);
        if (response is not { ErrorCode: ErrorCode.None })
        {
            await World.PauseAsync();
            return null;
        }

        return new Session(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
    }

    /// <summary>Sends a batch until it is answered, or nothing more can become of it.</summary>
    private async Task DeliverAsync(Session session, Lane lane, Batch batch)
    {
        while (!World.IsEnding && _session == session && !session.IsBroken)
        {
            SimulatedLink link = await LinkAsync(World.Next(2));
            int generation = World.Model[lane.Partition].Generation;
            ProduceRequest request = Produce(lane.Partition, batch.Bytes, acks, World.Pick(0, 100, 30_000));
            if (World.Chance(15))
            {
                World.Delay(later => SendAsync(later, request, Version));
            }

            switch ((await SendAsync(link, request, Version), lane.Unanswered.IndexOf(batch)))
            {
                case (null, _):
                    break;
                case ({ ErrorCode: ErrorCode.None } answer, _):
                    lane.IsKnown = true;
                    lane.Unanswered.Remove(batch);
                    Acknowledge(World.Model[lane.Partition], batch, answer.BaseOffset, generation);
                    return;
                case ({ ErrorCode: ErrorCode.OutOfOrderSequenceNumber }, 0):
                case ({ ErrorCode: ErrorCode.InvalidProducerEpoch }, _):
                    // What came before it is lost, or it is an old one by now.
                    session.IsBroken = true;
                    return;
                case ({ } refused, _):
                    Require.That(Retriable.Contains(refused.ErrorCode), $"an idempotent producer is not answered with {refused.ErrorCode}: {refused.ErrorMessage}");
                    break;
            }

            await World.PauseAsync();
        }
    }

    private static readonly HashSet<ErrorCode> Retriable =
        [ErrorCode.OutOfOrderSequenceNumber, ErrorCode.RequestTimedOut, ErrorCode.KafkaStorageError, ErrorCode.NotEnoughReplicas];

    private void Acknowledge(ModelPartition known, Batch batch, long baseOffset, int generation)
    {
        for (int index = 0; index < batch.Records.Length; index++)
        {
            known.Acknowledged(batch.Records[index], new Offset(baseOffset + index), isOnDisk: acks == -1, generation);
        }
    }

    private sealed record Batch(ModelRecord[] Records, byte[] Bytes, int Sequence);

    private sealed class Lane(TopicPartition partition)
    {
        public TopicPartition Partition => partition;
        public int NextSequence { get; set; }
        public bool IsKnown { get; set; }

        /// <summary>In the order in which they were made.</summary>
        public List<Batch> Unanswered { get; } = [];
    }

    private sealed class Session(ProducerIdentity producer)
    {
        private readonly Dictionary<TopicPartition, Lane> _lanes = [];

        public ProducerIdentity Producer => producer;

        public bool IsBroken { get; set; }

        public Lane Lane(TopicPartition partition)
        {
            if (!_lanes.TryGetValue(partition, out Lane? lane))
            {
                lane = new Lane(partition);
                _lanes.Add(partition, lane);
            }

            return lane;
        }
    }
}
