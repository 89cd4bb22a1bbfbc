using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Interop.Tests;

/// <summary>
/// Our consumer beside members on other clients in one group: whoever leads, through joins, leaves and kills, with records coming in all the time.
/// Looked at from outside: no generation that stands gives a partition to two members; nothing is left out, and when all is quiet each record is read by
/// exactly one of them.
/// </summary>
/// <remarks>
/// kafka-python's sticky is not among them: the version that Debian has (2.0.2) ends with a TypeError when a member of it joins for the second time, without
/// any other client in the group too. Its encoding of what a member had is Java's, which AssignorsTests read and write.
/// </remarks>
public sealed class MixedGroupTests
{
    private const string Topic = "shared";
    private const string Group = "mixed";
    private const int PartitionCount = 8;

    [Theory]
    [InlineData("kcat", PartitionAssignor.CooperativeSticky, "cooperative-sticky")]
    [InlineData("kcat", PartitionAssignor.Range, "range")]
    [InlineData("kcat", PartitionAssignor.RoundRobin, "roundrobin")]
    [InlineData("kafkajs", PartitionAssignor.KafkaJsRoundRobin, "")]
    [InlineData("kafkajs", PartitionAssignor.RoundRobin, "roundrobin")]
    [InlineData("python", PartitionAssignor.Range, "range")]
    [InlineData("python", PartitionAssignor.RoundRobin, "roundrobin")]
    public async Task Nothing_is_read_twice_at_once_or_left_out(string program, PartitionAssignor assignor, string strategy)
    {
        await RequireAsync(program);
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", $"{PartitionCount}");
        await using var group = await WatchedGroup.StartAsync(broker, assignor);
        await using OurMember first = group.Join();
        await group.UntilSharedByAsync(1);

        // A foreign member comes, one of ours, another foreign one.
        await using RunningProgram second = Start(program, broker, strategy);
        await group.UntilSharedByAsync(2);
        await using OurMember third = group.Join();
        await using RunningProgram fourth = Start(program, broker, strategy);
        await group.UntilSharedByAsync(4);

        // A foreign one dies, one of ours goes in peace, the first of ours with it: a foreign member leads what is left, and ours come back to it.
        await second.KillAsync();
        await group.UntilSharedByAsync(3);
        await first.DisposeAsync();
        await third.DisposeAsync();
        await group.UntilSharedByAsync(1);
        await using OurMember fifth = group.Join();
        await using OurMember sixth = group.Join();
        await group.UntilSharedByAsync(3);
        (long[] before, long[] after) = await group.ProduceInQuietAsync();

        OurMember[] ours = [first, third, fifth, sixth];
        List<(int Partition, long Offset)> foreign = [];
        await UntilAsync("everything is read", () =>
        {
            foreign = [.. Seen(second), .. Seen(fourth)];
            return !Enumerable.Range(0, PartitionCount).SelectMany(partition => Offsets(0, after[partition]).Select(offset => (partition, offset)))
                .Except(foreign.Concat(ours.SelectMany(member => member.Seen))).Any();
        });

        // From outside: what stood, and what was read in quiet.
        Assert.Empty(group.Violations);
        Assert.True(group.StableCount > 10, $"Only {group.StableCount} looks at a group that stood.");
        (int Partition, long Offset)[] quiet = [.. foreign.Concat(ours.SelectMany(member => member.Seen)).Where(record => record.Offset >= before[record.Partition])];
        Assert.Equal(quiet.Distinct().Count(), quiet.Length);
        Assert.Equal(3, new[] { Seen(fourth), fifth.Seen, sixth.Seen }.Count(seen => seen.Any(record => record.Offset >= before[record.Partition])));

        // Among ours nothing is read twice at all: who lets go commits first.
        (int, long)[] byOurs = [.. ours.SelectMany(member => member.Seen)];
        Assert.Equal(byOurs.Distinct().Count(), byOurs.Length);
        Assert.Empty(ours.SelectMany(member => member.Failures));
    }

    [Fact]
    public async Task Four_clients_share_one_group()
    {
        await RequireAsync("kcat");
        await RequireAsync("kafkajs");
        await RequireAsync("python");
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", $"{PartitionCount}");
        await using var group = await WatchedGroup.StartAsync(broker, PartitionAssignor.RoundRobin);
        await using RunningProgram kcat = Start("kcat", broker, "roundrobin");
        await group.UntilSharedByAsync(1);
        await using RunningProgram kafkajs = Start("kafkajs", broker, "roundrobin");
        await using RunningProgram python = Start("python", broker, "roundrobin");
        await using OurMember ours = group.Join();
        await group.UntilSharedByAsync(4);
        await kcat.KillAsync();
        await group.UntilSharedByAsync(3);
        (long[] before, long[] after) = await group.ProduceInQuietAsync();
        List<(int Partition, long Offset)> quiet = [];
        await UntilAsync("everything of the quiet time is read", () =>
        {
            quiet = [.. Seen(kafkajs).Concat(Seen(python)).Concat(ours.Seen).Where(record => record.Offset >= before[record.Partition])];
            return quiet.Distinct().Count() == Enumerable.Range(0, PartitionCount).Sum(partition => after[partition] - before[partition]);
        });
        Assert.Equal(quiet.Distinct().Count(), quiet.Count);
        Assert.Empty(group.Violations);
    }

    private static IEnumerable<long> Offsets(long from, long to)
    {
        for (long offset = from; offset < to; offset++)
        {
            yield return offset;
        }
    }

    private static async Task UntilAsync(string what, Func<bool> condition)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < RunningProgram.Deadline, $"Not after {RunningProgram.Deadline}: {what}.");

            // Real time: the pause between two looks at the condition.
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        }
    }

    private static async Task RequireAsync(string program)
    {
        switch (program)
        {
            case "kcat":
                Kcat.Require();
                break;
            case "kafkajs":
                await NodeClient.RequireAsync(program);
                break;
            default:
                await PythonClient.RequireAsync();
                break;
        }
    }

    private static RunningProgram Start(string program, StandaloneBroker broker, string strategy) => program switch
    {
        "kcat" => Kcat.Start(
            broker, "-G", Group, "-u", "-f", "saw %p:%o\\n", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=300",
            "-X", "auto.commit.interval.ms=100", "-X", $"partition.assignment.strategy={strategy}", Topic),
        "kafkajs" => NodeClient.Start(program, "memberOf", broker, strategy.Length == 0 ? [Group, Topic] : [Group, Topic, strategy]),
        _ => PythonClient.StartMember(broker, Group, Topic, strategy),
    };

    private static List<(int Partition, long Offset)> Seen(RunningProgram program) =>
    [
        .. program.Output.Where(line => line.StartsWith("saw ", StringComparison.Ordinal))
            .Select(line => line["saw ".Length..].Split(':'))
            .Select(parts => (int.Parse(parts[0]), long.Parse(parts[1]))),
    ];

    /// <summary>A member on our client that reads, and commits when it lets go.</summary>
    private sealed class OurMember : IRebalanceListener, IAsyncDisposable
    {
        private readonly KafkaConsumer _consumer;
        private readonly CancellationTokenSource _stop = new();
        private readonly Lock _gate = new();
        private readonly List<(int Partition, long Offset)> _seen = [];
        private readonly SemaphoreSlim _turn = new(1);
        private readonly Task _reading;
        private bool _isClosed;

        public OurMember(KafkaConsumer consumer)
        {
            _consumer = consumer;
            _reading = ReadAsync();
        }

        public List<Exception> Failures { get; } = [];

        public IReadOnlyList<(int Partition, long Offset)> Seen
        {
            get
            {
                lock (_gate)
                {
                    return [.. _seen];
                }
            }
        }

        public ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public async ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
        {
            // What a poll has handed out before is noted first.
            await _turn.WaitAsync(CancellationToken.None);
            _turn.Release();
            TopicPartitionOffset[] positions;
            lock (_gate)
            {
                positions = [.. partitions
                    .Select(partition => (Partition: partition, Last: _seen.Where(record => record.Partition == partition.Partition).Select(record => (long?)record.Offset).Max()))
                    .Where(item => item.Last is not null)
                    .Select(item => new TopicPartitionOffset(item.Partition, new Offset(item.Last!.Value + 1)))];
            }

            await _consumer.CommitAsync(positions, cancellationToken);
        }

        public ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken)
        {
            Failures.Add(new InvalidOperationException($"Lost {string.Join(',', partitions)}."));
            return ValueTask.CompletedTask;
        }

        public async ValueTask DisposeAsync()
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            await _stop.CancelAsync();
            await _reading;
            await _consumer.DisposeAsync();
            _stop.Dispose();
        }

        private async Task ReadAsync()
        {
            await Task.Yield();
            try
            {
                await _consumer.SubscribeAsync([Topic], this, _stop.Token);
                while (true)
                {
                    // A poll that waits does not hold the turn for longer than that: the callback of a rebalance waits for it.
                    await _turn.WaitAsync(_stop.Token);
                    try
                    {
                        using var pause = new CancellationTokenSource(TimeSpan.FromMilliseconds(50), TimeProvider.System);
                        using var either = CancellationTokenSource.CreateLinkedTokenSource(pause.Token, _stop.Token);
                        IReadOnlyList<ConsumerRecord> records = await _consumer.PollAsync(100, either.Token);
                        lock (_gate)
                        {
                            _seen.AddRange(records.Select(record => (record.TopicPartition.Partition, record.Offset.Value)));
                        }
                    }
                    catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
                    {
                        // Nothing to read at the moment.
                    }
                    finally
                    {
                        _turn.Release();
                    }
                }
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                // Closing.
            }
            catch (Exception failure)
            {
                Failures.Add(failure);
            }
        }
    }

    /// <summary>The group from outside: asked for again and again what each member has, while a producer writes.</summary>
    private sealed class WatchedGroup : IAsyncDisposable
    {
        private readonly KafkaClient _client;
        private readonly PartitionAssignor _assignor;
        private readonly CancellationTokenSource _stop = new();
        private readonly Lock _gate = new();
        private readonly KafkaProducer _producer;
        private readonly long[] _ends = new long[PartitionCount];
        private IReadOnlyDictionary<string, int> _shares = new Dictionary<string, int>();
        private Task _watching = Task.CompletedTask;
        private Task _producing = Task.CompletedTask;
        private volatile bool _isQuiet;

        private WatchedGroup(StandaloneBroker broker, PartitionAssignor assignor)
        {
            _assignor = assignor;
            _client = new KafkaClient(new KafkaClientOptions { BootstrapServers = broker.Address, ClientId = "ours" }, TimeProvider.System, NullLoggerFactory.Instance);
            _producer = _client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        }

        /// <summary>Partitions that a generation gave to two members at once.</summary>
        public List<string> Violations { get; } = [];

        /// <summary>How often a group that stands was looked at.</summary>
        public int StableCount { get; private set; }

        public static async Task<WatchedGroup> StartAsync(StandaloneBroker broker, PartitionAssignor assignor)
        {
            var group = new WatchedGroup(broker, assignor);
            await group._client.Admin.CreateTopicsAsync([new NewTopic(Topic, PartitionCount)]);
            group._watching = group.WatchAsync();
            group._producing = group.ProduceAsync();
            return group;
        }

        public OurMember Join() => new(_client.CreateConsumer(new ConsumerOptions
        {
            GroupId = Group,
            Assignors = [_assignor],
            AutoOffsetReset = AutoOffsetReset.Earliest,
            SessionTimeout = TimeSpan.FromSeconds(6),
            HeartbeatInterval = TimeSpan.FromMilliseconds(300),
            FetchMaxWait = TimeSpan.FromMilliseconds(50),
        }));

        /// <summary>Waits until the group stands with so many members, all of which have partitions, and all partitions are theirs.</summary>
        public Task UntilSharedByAsync(int memberCount) => UntilAsync($"{memberCount} members share {PartitionCount} partitions", () =>
        {
            lock (_gate)
            {
                return _shares.Count == memberCount && _shares.Values.All(count => count > 0) && _shares.Values.Sum() == PartitionCount;
            }
        });

        /// <summary>Writes some records more while the group stands; returns where they begin and end.</summary>
        public async Task<(long[] Before, long[] After)> ProduceInQuietAsync()
        {
            _isQuiet = true;
            await _producing;
            long[] before = [.. _ends];
            for (int i = 0; i < 30 * PartitionCount; i++)
            {
                await SendAsync(i % PartitionCount);
            }

            return (before, [.. _ends]);
        }

        public async ValueTask DisposeAsync()
        {
            _isQuiet = true;
            await _stop.CancelAsync();
            await Task.WhenAll(_watching, _producing);
            await _client.DisposeAsync();
            _stop.Dispose();
        }

        private async Task ProduceAsync()
        {
            for (int i = 0; !_isQuiet; i++)
            {
                await SendAsync(i % PartitionCount);

                // Real time: some hundred records a second, so that something is under way whenever a partition moves.
                await Task.Delay(TimeSpan.FromMilliseconds(3), TimeProvider.System);
            }
        }

        private async Task SendAsync(int partition)
        {
            RecordMetadata written = await _producer.ProduceAsync(new ProducerRecord { Topic = Topic, Partition = partition, Value = new byte[10] });
            _ends[partition] = written.Offset.Value + 1;
        }

        private async Task WatchAsync()
        {
            while (!_stop.IsCancellationRequested)
            {
                // Before the first member comes there is no such group.
                AdminResult<GroupDescription> described = (await _client.Admin.DescribeGroupsAsync([Group]))[Group];
                IReadOnlyList<GroupMemberDescription> members =
                    described.Failure is null && described.Value.State == GroupState.Stable ? described.Value.Members : [];
                lock (_gate)
                {
                    StableCount += members.Count > 0 ? 1 : 0;
                    _shares = members.ToDictionary(member => member.MemberId, member => member.Assignment.Count);
                    Violations.AddRange(members.SelectMany(member => member.Assignment)
                        .GroupBy(partition => partition)
                        .Where(owners => owners.Count() > 1)
                        .Select(owners => owners.Key.ToString()));
                }

                // Real time: the pause between two looks.
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
            }
        }
    }
}
