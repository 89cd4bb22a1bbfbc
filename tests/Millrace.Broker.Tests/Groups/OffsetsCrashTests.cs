using System.Globalization;
using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>A whole broker on a simulated disk, whose machine loses its power in the middle of some operation.</summary>
public sealed class OffsetsCrashTests
{
    private const int SeedCount = 60;
    private const int RecordCount = 5_000;
    private const int CommitterCount = 3;

    [Fact]
    public async Task An_acknowledged_commit_survives_the_loss_of_power_and_none_is_ever_torn()
    {
        int crashedUnderWayCount = 0;
        for (int seed = 0; seed < SeedCount; seed++)
        {
            CrashOutcome outcome = await RunAsync(seed, ignoresFlushes: false);
            Assert.True(outcome.Fault is null, $"Seed {seed}: {outcome.Fault}");
            crashedUnderWayCount += outcome.AcknowledgedCount > 0 ? 1 : 0;
        }

        Assert.True(crashedUnderWayCount > SeedCount / 2, $"Only {crashedUnderWayCount} of {SeedCount} crashes came after an acknowledged commit.");
    }

    [Fact]
    public async Task A_disk_whose_flush_does_nothing_loses_acknowledged_commits()
    {
        int lossCount = 0;
        for (int seed = 0; seed < 20; seed++)
        {
            lossCount += (await RunAsync(seed, ignoresFlushes: true)).Fault is null ? 0 : 1;
        }

        Assert.True(lossCount > 10, $"Only {lossCount} of 20 runs on a lying disk lost something: the check cannot fail.");
    }

    private static async Task<CrashOutcome> RunAsync(int seed, bool ignoresFlushes)
    {
        Random random = new(seed);
        SimulatedStorage storage = new(seed) { IgnoresFlushes = ignoresFlushes };
        Committer[] committers = [.. Enumerable.Range(0, CommitterCount).Select(number => new Committer($"group-{number}"))];
        KafkaBroker broker = await StartAsync(storage);
        await using (TestClient client = new(broker.Connect()))
        {
            await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
                new CreateTopicsRequest { Topics = [new CreatableTopic { Name = "orders", PartitionCount = 1, ReplicationFactor = 1 }] }, 7);
            string[] values = [.. Enumerable.Range(0, RecordCount).Select(number => number.ToString(CultureInfo.InvariantCulture))];
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of(values))).ErrorCode);
            await client.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(new FindCoordinatorRequest { Key = "g" }, 2);
        }

        storage.CrashAfter(random.Next(60));
        await Task.WhenAll(committers.Select(committer => committer.RunAsync(broker)));
        SimulatedStorage afterwards = storage.Crash(SimulatedCrashKind.PowerLoss);
        broker.Abort();

        CrashOutcome outcome = new(committers.Sum(committer => committer.AcknowledgedCount), Fault: null);
        try
        {
            broker = await StartAsync(afterwards);
        }
        catch (BrokerStartException failure) when (ignoresFlushes)
        {
            return outcome with { Fault = failure.Message };
        }

        foreach (Committer committer in committers)
        {
            outcome = outcome with { Fault = outcome.Fault ?? await committer.CheckAsync(broker) };
        }

        await broker.StopAsync();
        return outcome;
    }

    private static Task<KafkaBroker> StartAsync(SimulatedStorage storage) =>
        KafkaBroker.StartAsync(new BrokerOptions { DataDirectory = "/data" }, new MortalStorage(storage), new ManualTime(), new RecordingLogs());

    private sealed record CrashOutcome(int AcknowledgedCount, string? Fault);

    /// <summary>One member that commits one offset after the other until the machine is down, and afterwards tells whether what is left makes sense.</summary>
    private sealed class Committer(string group)
    {
        private JoinGroupResponse? _settled;
        private long _acknowledged = -1;
        private long _attempted = -1;

        public int AcknowledgedCount => (int)(_acknowledged + 1);

        public async Task RunAsync(KafkaBroker broker)
        {
            await using TestClient client = new(broker.Connect());
            JoinGroupResponse joined = await client.JoinAsync(Join(group), version: 3);
            if (joined.ErrorCode != ErrorCode.None ||
                (await client.SyncAsync(Sync(group, joined, (joined.MemberId, $"for {group}")))).ErrorCode != ErrorCode.None)
            {
                return;
            }

            _settled = joined;
            while (_attempted < RecordCount - 1)
            {
                _attempted++;
                OffsetCommitRequest commit = Commit(group, "orders", _attempted, joined.MemberId, joined.GenerationId, NoteOf(_attempted));
                if (await client.CommitAsync(commit) != ErrorCode.None)
                {
                    return;
                }

                _acknowledged = _attempted;
            }
        }

        public async Task<string?> CheckAsync(KafkaBroker broker)
        {
            await using TestClient client = new(broker.Connect());
            if (_settled is not null && await client.HeartbeatAsync(group, _settled) is not ErrorCode.None and ErrorCode error)
            {
                return $"{group}: the member had its assignment, and is answered with {error} after the crash";
            }

            if (_settled is not null && Encoding.UTF8.GetString((await client.SyncAsync(Sync(group, _settled))).Assignment) != $"for {group}")
            {
                return $"{group}: the assignment is gone or another one";
            }

            OffsetFetchPartitionResponse offset = await client.FetchOffsetAsync(group, "orders");
            if (offset.CommittedOffset < _acknowledged || offset.CommittedOffset > _attempted)
            {
                return $"{group}: offset {offset.CommittedOffset} is there, {_acknowledged} was acknowledged and {_attempted} sent";
            }

            return offset.CommittedOffset >= 0 && offset.Metadata != NoteOf(offset.CommittedOffset)
                ? $"{group}: offset {offset.CommittedOffset} has the note '{offset.Metadata}'"
                : null;
        }

        private static string NoteOf(long offset) => $"after {offset} records";
    }
}
