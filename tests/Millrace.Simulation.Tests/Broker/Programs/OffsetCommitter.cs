using Millrace.Kafka.Protocol;

namespace Millrace.Simulation.Tests;

/// <summary>A consumer that commits how far it has read, one commit after the other, and asks now and then what is committed.</summary>
internal sealed class OffsetCommitter(BrokerSimulation world, string groupId) : BrokerProgram(world)
{
    public override async Task RunAsync()
    {
        ModelGroup group = World.Model.NewGroup(groupId, World.PickPartition());
        while (!World.IsEnding)
        {
            // What was sent over a connection that is cut may still arrive, after a later commit: so this one lasts.
            SimulatedLink link = await LinkAsync();
            link.IsSteady = true;
            if (World.Chance(30))
            {
                await AskAsync(link, group);
            }
            else
            {
                if (await EndAsync(link, group.Partition) is long end && end > group.Furthest)
                {
                    await CommitAsync(link, group, end - World.Next((int)(end - Math.Max(group.Furthest, 0))));
                }
            }

            await World.PauseAsync();
        }
    }

    private async Task CommitAsync(SimulatedLink link, ModelGroup group, long offset)
    {
        group.Try(offset);
        OffsetCommitRequest request = new()
        {
            GroupId = groupId,
            Topics =
            [
                new OffsetCommitTopic
                {
                    Name = group.Partition.Topic,
                    Partitions = [new OffsetCommitPartition { Index = group.Partition.Partition, CommittedOffset = offset }],
                },
            ],
        };
        OffsetCommitResponse? response = await link.SendAsync<OffsetCommitRequest, OffsetCommitResponse>(request, 7);
        if (response is not null)
        {
            group.Settle(offset);
        }

        if (response?.Topics[0].Partitions[0].ErrorCode == ErrorCode.None)
        {
            group.Committed(offset);
        }
    }

    private async Task AskAsync(SimulatedLink link, ModelGroup group)
    {
        int generation = World.Model[group.Partition].Generation;
        long least = group.Promised;
        OffsetFetchRequest request = new()
        {
            GroupId = groupId,
            Topics = [new OffsetFetchTopic { Name = group.Partition.Topic, Partitions = [group.Partition.Partition] }],
        };
        OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
        if (response is { ErrorCode: ErrorCode.None } && generation == World.Model[group.Partition].Generation)
        {
            group.Found(response.Topics[0].Partitions[0].CommittedOffset, World.Model[group.Partition], least);
        }
    }
}
