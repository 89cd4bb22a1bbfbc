using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class ConnectionPoolTests
{
    private static readonly BrokerAddress Address = new("scripted", 9092);

    /// <summary>The time-out of an attempt and the sweep for unused connections are further away.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly ScriptedBroker _broker = new();
    private readonly ManualTime _time = new();

    [Fact]
    public async Task A_connection_that_nothing_uses_is_closed_and_the_next_caller_gets_a_new_one()
    {
        await using ConnectionPool pool = Create();
        BrokerConnection first = await GetAsync(pool);
        for (int i = 0; i < 8; i++)
        {
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        Assert.True(first.IsOpen);
        _time.Advance(TimeSpan.FromMinutes(2));
        Assert.False(first.IsOpen);
        Assert.Null(pool.Find(Address, ConnectionPurpose.General));
        Assert.NotSame(first, await GetAsync(pool));
    }

    [Fact]
    public async Task Without_a_limit_no_connection_is_closed()
    {
        await using ConnectionPool pool = Create(options => options.MaxConnectionIdleTime = Timeout.InfiniteTimeSpan);
        BrokerConnection connection = await GetAsync(pool);
        _time.Advance(TimeSpan.FromDays(2));
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task A_broker_that_comes_back_with_other_versions_is_spoken_to_in_them()
    {
        await using ConnectionPool pool = Create();
        foreach ((short newest, short expected) in new (short, short)[] { (4, 4), (1, 1), (9, 4) })
        {
            _broker.OnApiVersions = _ => new ApiVersionsResponse
            {
                ApiKeys = [new ApiVersionRange { Key = ApiKey.Heartbeat, MinVersion = 0, MaxVersion = newest }],
            };
            BrokerConnection connection = await GetAsync(pool);
            Assert.Equal(expected, connection.VersionOf(HeartbeatRequest.Api));
            (await _broker.Connections.Reader.ReadAsync(Until.Timeout())).Close();
            await Until.TrueAsync(() => !connection.IsOpen, "the connection's end");
            _time.Advance(TimeSpan.FromSeconds(1));
        }
    }

    [Fact]
    public async Task The_pause_before_an_attempt_doubles_to_its_limit_and_begins_anew_after_a_success()
    {
        await using ConnectionPool pool = Create();
        _broker.ConnectFailure = new KafkaConnectionException("Nobody is there.");
        List<TimeSpan> pauses = [];
        for (int i = 0; i < 8; i++)
        {
            pauses.Add(await FailAsync(pool));
        }

        Assert.Equal(TimeSpan.Zero, pauses[0]);
        double[] expected = [50, 100, 200, 400, 800, 1000, 1000];
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.InRange(pauses[i + 1].TotalMilliseconds, expected[i] * 0.79, expected[i] * 1.21);
        }

        Assert.True(pauses[1..].Distinct().Count() > 5, "pauses differ by chance");
        _broker.ConnectFailure = null;
        Task<BrokerConnection> opening = GetAsync(pool);
        await AdvanceUntilAsync(opening);
        (await _broker.Connections.Reader.ReadAsync(Until.Timeout())).Close();
        await Until.TrueAsync(() => pool.Find(Address, ConnectionPurpose.General) is null, "the connection's end");

        // One that breaks as soon as it is open is not followed by the next one at once.
        _broker.ConnectFailure = new KafkaConnectionException("Nobody is there.");
        Assert.InRange((await FailAsync(pool)).TotalMilliseconds, 39, 61);
    }

    private ConnectionPool Create(Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions();
        configure?.Invoke(options);
        return new ConnectionPool(new ClientContext(ClientSettings.From(options), _broker, _time, NullLoggerFactory.Instance, new Chance(new Random(1))));
    }

    private static Task<BrokerConnection> GetAsync(ConnectionPool pool) =>
        pool.GetAsync(Address, ConnectionPurpose.General, CancellationToken.None).WaitAsync(Until.Limit);

    /// <summary>How long the attempt waited for its turn.</summary>
    private async Task<TimeSpan> FailAsync(ConnectionPool pool)
    {
        Task<BrokerConnection> attempt = GetAsync(pool);
        TimeSpan waited = await AdvanceUntilAsync(attempt);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => attempt);
        return waited;
    }

    private async Task<TimeSpan> AdvanceUntilAsync(Task attempt)
    {
        long begun = _time.GetTimestamp();
        await Until.TrueAsync(
            () =>
            {
                _time.AdvanceToNext(LongestPause);
                return attempt.IsCompleted;
            },
            "the end of the attempt");
        return _time.GetElapsedTime(begun);
    }
}
