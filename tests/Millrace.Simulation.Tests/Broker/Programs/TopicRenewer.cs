using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>
/// Makes a topic, uses it, deletes it, and makes it again: nothing of an older one is in a newer one, what was acknowledged of the present one is there, and one that is
/// deleted stays away.
/// </summary>
internal sealed class TopicRenewer(BrokerSimulation world) : BrokerProgram(world)
{
    private const string GroupId = "of passing";

    private readonly TopicPartition _partition = new("passing", 0);

    // Of the present topic; null where there is none, or nobody knows which one there is.
    private Incarnation? _present;
    private bool _isGone = true;

    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            if (_isGone)
            {
                await LookForNothingAsync(await SteadyLinkAsync());
            }

            if (await TryCreateAsync(await SteadyLinkAsync()))
            {
                for (int count = World.Next(5); count > 0 && !World.IsEnding; count--)
                {
                    await UseAsync(await SteadyLinkAsync());
                }

                await DeleteAsync(await SteadyLinkAsync());
            }

            await World.PauseAsync();
        }
    }

    /// <summary>What was sent over a connection that is cut could still arrive, in the next topic of this name.</summary>
    private async Task<SimulatedLink> SteadyLinkAsync()
    {
        SimulatedLink link = await LinkAsync();
        link.IsSteady = true;
        return link;
    }

    private async Task LookForNothingAsync(SimulatedLink link)
    {
        MetadataResponse? response = await link.SendAsync<MetadataRequest, MetadataResponse>(
            new MetadataRequest { Topics = [new MetadataRequestTopic { Name = _partition.Topic }], AllowAutoTopicCreation = false }, 9);
        Require.That(response is null or { Topics: [{ ErrorCode: ErrorCode.UnknownTopicOrPartition }] }, "a topic that was deleted is gone");
    }

    private async Task<bool> TryCreateAsync(SimulatedLink link)
    {
        if (_present is not null)
        {
            return true;
        }

        CreateTopicsRequest request = new() { Topics = [new CreatableTopic { Name = _partition.Topic, PartitionCount = 1, ReplicationFactor = 1 }] };
        bool wasGone = _isGone;
        _isGone = false;
        switch ((await link.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(request, 7))?.Topics[0].ErrorCode)
        {
            case ErrorCode.None:
                _present = new Incarnation();
                return true;
            case ErrorCode.TopicAlreadyExists:
                Require.That(!wasGone, "a topic that was deleted stands in nobody's way");

                // One that was made without an answer, or not deleted without one.
                await DeleteAsync(link);
                return false;
            default:
                return false;
        }
    }

    private async Task UseAsync(SimulatedLink link)
    {
        if (_present is not { } present)
        {
            return;
        }

        ModelRecord[] records = NewRecords(_partition, isForDisk: true);
        present.Sent.AddRange(records);
        if (await SendAsync(link, Produce(_partition, Build(records, ProducerIdentity.None, -1), acks: -1, 30_000), 9) is { ErrorCode: ErrorCode.None } answer)
        {
            present.Acknowledged.AddRange(records);
            await CommitAsync(link, answer.BaseOffset + records.Length);
            present.HasCommitted = true;
        }

        if (!World.Chance(60))
        {
            return;
        }

        if (!present.HasCommitted)
        {
            OffsetFetchRequest request = new() { GroupId = GroupId, Topics = [new OffsetFetchTopic { Name = _partition.Topic, Partitions = [0] }] };
            OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
            long found = response is { ErrorCode: ErrorCode.None } ? response.Topics[0].Partitions[0].CommittedOffset : -1;
            Require.That(found == -1, $"of a topic that is new nothing is committed, and not {found}");
        }

        await ReadAsync(link, present);
    }

    private async Task ReadAsync(SimulatedLink link, Incarnation present)
    {
        List<int> read = [];
        List<ModelRecord> promised = [.. present.Acknowledged];
        FetchPartitionResponse? response = await BrokerReader.FetchAsync(link, _partition, Offset.Zero, isCommitted: false, int.MaxValue, maxWaitMilliseconds: 0);
        if (response is not { ErrorCode: ErrorCode.None })
        {
            return;
        }

        foreach (ReadBatch batch in BrokerReader.Batches(response, Offset.Zero, isCommitted: false, out _))
        {
            read.AddRange(batch.Ids);
        }

        Require.That(read.TrueForAll(id => present.Sent.Exists(record => record.Id == id)), "in a topic that is new there is nothing of the one before");
        Require.That(promised.TrueForAll(record => read.Contains(record.Id)), "a topic has what was acknowledged of it");
    }

    private async Task CommitAsync(SimulatedLink link, long offset)
    {
        OffsetCommitRequest request = new()
        {
            GroupId = GroupId,
            Topics = [new OffsetCommitTopic { Name = _partition.Topic, Partitions = [new OffsetCommitPartition { CommittedOffset = offset }] }],
        };
        await link.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(request, 7);
    }

    private async Task DeleteAsync(SimulatedLink link)
    {
        _present = null;
        if (World.Sabotage == BrokerSabotage.ForgetDeletions)
        {
            _isGone = true;
            return;
        }

        DeleteTopicsResponse? response = await link.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(new DeleteTopicsRequest { TopicNames = [_partition.Topic] }, 5);
        _isGone = response?.Responses[0].ErrorCode == ErrorCode.None;
    }

    private sealed class Incarnation
    {
        public List<ModelRecord> Sent { get; } = [];

        public List<ModelRecord> Acknowledged { get; } = [];

        public bool HasCommitted { get; set; }
    }
}
