using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class BrokerConnectionTests
{
    private static readonly BrokerAddress Address = new("scripted", 9092);

    private readonly ScriptedBroker _broker = new();
    private readonly ManualTime _time = new();

    [Fact]
    public async Task Answers_are_given_to_the_requests_in_their_order()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse>[] answers = [.. Enumerable.Range(0, 3).Select(_ => HeartbeatAsync(connection))];
        for (int i = 0; i < answers.Length; i++)
        {
            await AnswerAsync(peer, (ErrorCode)(20 + i));
        }

        for (int i = 0; i < answers.Length; i++)
        {
            Assert.Equal((ErrorCode)(20 + i), (await answers[i]).ErrorCode);
        }
    }

    [Fact]
    public async Task A_broken_connection_fails_every_outstanding_request_transiently()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse>[] answers = [.. Enumerable.Range(0, 3).Select(_ => HeartbeatAsync(connection))];
        peer.Close();
        foreach (Task<HeartbeatResponse> answer in answers)
        {
            Assert.True((await Assert.ThrowsAsync<KafkaConnectionException>(() => answer)).IsTransient);
        }

        Assert.False(connection.IsOpen);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => HeartbeatAsync(connection));
    }

    [Fact]
    public async Task A_connection_without_a_bound_on_what_is_outstanding_ends_as_any_other()
    {
        await using BrokerConnection connection = await OpenAsync(static options => options.MaxInFlightRequests = int.MaxValue);
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> answer = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None);
        await answer;
        await connection.DisposeAsync();
        await Until.TrueAsync(() => peer.IsDisposed, "the transport's end");
        await Assert.ThrowsAsync<KafkaClosedException>(() => HeartbeatAsync(connection));
    }

    [Fact]
    public async Task A_request_without_answer_times_out_and_takes_the_connection_with_it()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection, TimeSpan.FromSeconds(3));
        Task<HeartbeatResponse> second = HeartbeatAsync(connection, TimeSpan.FromSeconds(60));
        _time.Advance(TimeSpan.FromSeconds(2.9));
        Assert.False(first.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.1));
        KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => first);
        Assert.Contains("Heartbeat", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => second);
        await Until.TrueAsync(() => peer.IsDisposed, "the transport's end");
    }

    [Fact]
    public async Task An_answer_out_of_order_ends_the_connection()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> answer = HeartbeatAsync(connection);
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        peer.Answer(new HeartbeatResponse(), HeartbeatRequest.Api, header.Version, header.CorrelationId + 1);
        await Assert.ThrowsAsync<KafkaProtocolException>(() => answer);
        Assert.False(connection.IsOpen);
    }

    [Fact]
    public async Task A_cancelled_request_leaves_the_order_of_the_others_intact()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        using var cancellation = new CancellationTokenSource();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection, cancellationToken: cancellation.Token);
        Task<HeartbeatResponse> second = HeartbeatAsync(connection);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        await AnswerAsync(peer, (ErrorCode)21);
        await AnswerAsync(peer, (ErrorCode)22);
        Assert.Equal((ErrorCode)22, (await second).ErrorCode);
    }

    [Fact]
    public async Task A_silent_connection_ends_also_where_each_caller_leaves_before_the_time_out()
    {
        await using BrokerConnection connection = await OpenAsync();
        for (int i = 0; i < 5; i++)
        {
            using var cancellation = new CancellationTokenSource();
            Task<HeartbeatResponse> answer = HeartbeatAsync(connection, TimeSpan.FromSeconds(60), cancellation.Token);
            _time.Advance(TimeSpan.FromSeconds(10));
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answer);
            await Until.TrueAsync(() => _time.PendingTimerCount == i + 1, "the time-out to go on");
        }

        Assert.True(connection.IsOpen);
        _time.Advance(TimeSpan.FromSeconds(10));
        await Until.TrueAsync(() => !connection.IsOpen, "the connection's end after 60 s without an answer");
    }

    [Fact]
    public async Task Callers_that_left_a_silent_connection_do_not_keep_its_permits()
    {
        await using BrokerConnection connection = await OpenAsync(options => options.MaxInFlightRequests = 2);
        for (int i = 0; i < 2; i++)
        {
            using var cancellation = new CancellationTokenSource();
            Task<HeartbeatResponse> left = HeartbeatAsync(connection, TimeSpan.FromSeconds(60), cancellation.Token);
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        }

        Task<HeartbeatResponse> answer = HeartbeatAsync(connection, TimeSpan.FromSeconds(60));
        await Until.TrueAsync(() => _time.PendingTimerCount == 2, "the time-outs of those that left");
        _time.Advance(TimeSpan.FromSeconds(60));
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(() => answer.WaitAsync(Until.Limit));
        Assert.Contains("did not answer Heartbeat within 00:01:00", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_request_that_is_answered_after_its_caller_has_left_does_not_end_the_connection()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        using var cancellation = new CancellationTokenSource();
        Task<HeartbeatResponse> left = HeartbeatAsync(connection, TimeSpan.FromSeconds(60), cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        Task<HeartbeatResponse> next = HeartbeatAsync(connection, TimeSpan.FromSeconds(90));
        await Until.TrueAsync(() => _time.PendingTimerCount == 2, "the time-outs of both");
        await AnswerAsync(peer, ErrorCode.None);
        await Until.TrueAsync(() => _time.PendingTimerCount == 1, "the time-out of the next request alone");
        _time.Advance(TimeSpan.FromSeconds(60));
        await AnswerAsync(peer, ErrorCode.None);
        await next;
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task The_time_of_a_request_whose_caller_has_left_begins_after_a_pause()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None, throttleMilliseconds: 60_000);
        await first;
        using var cancellation = new CancellationTokenSource();
        Task<HeartbeatResponse> left = HeartbeatAsync(connection, TimeSpan.FromSeconds(3), cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        await Until.TrueAsync(() => _time.PendingTimerCount == 2, "the pause, and the watch");
        _time.Advance(TimeSpan.FromSeconds(60));
        await peer.Requests.Reader.ReadAsync(Until.Timeout());
        await Until.TrueAsync(() => _time.PendingTimerCount == 1, "the rest of the time-out");
        Assert.True(connection.IsOpen);
        _time.Advance(TimeSpan.FromSeconds(3));
        await Until.TrueAsync(() => !connection.IsOpen, "the connection's end");
    }

    [Fact]
    public async Task Requests_beyond_the_bound_wait_for_an_answer_to_come()
    {
        await using BrokerConnection connection = await OpenAsync(options => options.MaxInFlightRequests = 2);
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse>[] answers = [.. Enumerable.Range(0, 3).Select(_ => HeartbeatAsync(connection))];
        (RequestHeader Header, ReadOnlyMemory<byte> Body) first = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        await peer.Requests.Reader.ReadAsync(Until.Timeout());
        Assert.False(peer.Requests.Reader.TryRead(out _));
        peer.Answer(new HeartbeatResponse(), HeartbeatRequest.Api, first.Header.Version, first.Header.CorrelationId);
        await answers[0];
        await peer.Requests.Reader.ReadAsync(Until.Timeout());
    }

    [Fact]
    public async Task A_request_that_is_not_answered_times_out_when_the_peer_takes_no_more()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        peer.IsFull = true;
        Task sent = connection.SendWithoutResponseAsync(new HeartbeatRequest { GroupId = "g" }, 0, TimeSpan.FromSeconds(3), CancellationToken.None);
        _time.Advance(TimeSpan.FromSeconds(3));
        await Assert.ThrowsAsync<KafkaTimeoutException>(() => sent.WaitAsync(Until.Limit));
        Assert.False(connection.IsOpen);
    }

    [Fact]
    public async Task A_request_that_is_not_answered_times_out_also_where_its_caller_has_left()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        peer.IsFull = true;
        using var cancellation = new CancellationTokenSource();
        Task sent = connection.SendWithoutResponseAsync(new HeartbeatRequest { GroupId = "g" }, 0, TimeSpan.FromSeconds(3), cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sent);
        await Until.TrueAsync(() => _time.PendingTimerCount == 1, "the time-out to go on");
        _time.Advance(TimeSpan.FromSeconds(3));
        await Until.TrueAsync(() => !connection.IsOpen, "the connection's end");
    }

    [Fact]
    public async Task A_broker_that_refuses_version_4_of_ApiVersions_is_asked_in_version_0()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version => version > 0 ? new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion } : answer(version);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal([4, 0], _broker.ApiVersionsAsked);
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task A_broker_that_closes_the_connection_at_version_4_of_ApiVersions_is_asked_in_version_0()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version => version > 0 ? null : answer(version);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal([4, 0], _broker.ApiVersionsAsked);
        Assert.Equal(2, _broker.Connections.Reader.Count);
    }

    [Fact]
    public async Task A_broker_that_refuses_version_4_and_names_its_newest_is_asked_in_that()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version => version > 3
            ? new ApiVersionsResponse
            {
                ErrorCode = ErrorCode.UnsupportedVersion,
                ApiKeys = [new ApiVersionRange { Key = ApiKey.ApiVersions, MinVersion = 0, MaxVersion = 3 }],
            }
            : answer(version);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal([4, 3], _broker.ApiVersionsAsked);
    }

    [Fact]
    public async Task A_broker_that_refuses_each_version_is_refused_itself()
    {
        _broker.OnApiVersions = _ => new ApiVersionsResponse
        {
            ErrorCode = ErrorCode.UnsupportedVersion,
            ApiKeys = [new ApiVersionRange { Key = ApiKey.ApiVersions, MinVersion = 0, MaxVersion = 9 }],
        };
        await Assert.ThrowsAsync<KafkaVersionException>(() => OpenAsync());
        Assert.Equal([4, 3, 0], _broker.ApiVersionsAsked);
    }

    [Fact]
    public async Task The_features_of_the_cluster_are_known_by_their_level()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version =>
        {
            ApiVersionsResponse response = answer(version)!;
            response.FinalizedFeatures = [new FinalizedFeature { Name = "transaction.version", MinVersionLevel = 1, MaxVersionLevel = 2 }];
            return response;
        };
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal(2, connection.FeatureLevel("transaction.version"));
        Assert.Equal(0, connection.FeatureLevel("group.version"));
    }

    [Fact]
    public async Task After_an_answer_with_a_throttle_time_nothing_leaves_until_it_is_over()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None, throttleMilliseconds: 400);
        await first;
        Assert.Equal(TimeSpan.FromMilliseconds(400), connection.MutedFor);
        Task<HeartbeatResponse> second = HeartbeatAsync(connection);
        await Until.TrueAsync(() => _time.PendingTimerCount >= 2, "the pause, and the second request's time-out");
        _time.Advance(TimeSpan.FromMilliseconds(399));
        Assert.False(peer.Requests.Reader.TryRead(out _));
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await AnswerAsync(peer, ErrorCode.None);
        await second;
        Assert.Equal(TimeSpan.Zero, connection.MutedFor);
    }

    [Fact]
    public async Task A_throttle_time_that_the_broker_has_waited_out_itself_is_not_waited_again()
    {
        Offer(ApiKey.Heartbeat, 0, 1);
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None, throttleMilliseconds: 400);
        await first;
        Assert.Equal(TimeSpan.Zero, connection.MutedFor);
    }

    [Fact]
    public async Task The_time_of_a_request_that_waits_for_a_pause_begins_after_it()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None, throttleMilliseconds: 60_000);
        await first;
        Task<HeartbeatResponse> second = HeartbeatAsync(connection, TimeSpan.FromSeconds(3));
        await Until.TrueAsync(() => _time.PendingTimerCount >= 2, "the pause, and the second request's time-out");
        _time.Advance(TimeSpan.FromSeconds(4));
        await Until.TrueAsync(() => _time.PendingTimerCount >= 2, "the time-out to begin again");
        Assert.True(connection.IsOpen);
        _time.Advance(TimeSpan.FromSeconds(56));
        await peer.Requests.Reader.ReadAsync(Until.Timeout());
        await Until.TrueAsync(() => _time.PendingTimerCount >= 1, "the rest of the time-out");
        _time.Advance(TimeSpan.FromSeconds(3));
        await Assert.ThrowsAsync<KafkaTimeoutException>(() => second.WaitAsync(Until.Limit));
    }

    [Fact]
    public async Task What_waits_for_a_pause_fails_with_the_connection()
    {
        await using BrokerConnection connection = await OpenAsync(options => options.MaxInFlightRequests = 3);
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> first = HeartbeatAsync(connection);
        await AnswerAsync(peer, ErrorCode.None, throttleMilliseconds: 60_000);
        await first;
        Task<HeartbeatResponse>[] waiting = [.. Enumerable.Range(0, 5).Select(_ => HeartbeatAsync(connection))];
        peer.Close();
        foreach (Task<HeartbeatResponse> answer in waiting)
        {
            await Assert.ThrowsAsync<KafkaConnectionException>(() => answer.WaitAsync(Until.Limit));
        }
    }

    [Fact]
    public async Task A_connection_that_nothing_uses_is_closed_and_one_that_waits_for_an_answer_is_not()
    {
        await using BrokerConnection connection = await OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Task<HeartbeatResponse> answer = HeartbeatAsync(connection, TimeSpan.FromHours(1));
        _time.Advance(TimeSpan.FromMinutes(10));
        connection.CloseIfUnused(TimeSpan.FromMinutes(9));
        Assert.True(connection.IsOpen);
        await AnswerAsync(peer, ErrorCode.None);
        await answer;
        connection.CloseIfUnused(TimeSpan.FromMinutes(9));
        Assert.True(connection.IsOpen);
        _time.Advance(TimeSpan.FromMinutes(9));
        connection.CloseIfUnused(TimeSpan.FromMinutes(9));
        Assert.False(connection.IsOpen);
        await Until.TrueAsync(() => peer.IsDisposed, "the transport's end");
    }

    [Theory]
    [InlineData(0, 1, 1)]
    [InlineData(2, 99, 4)]
    public async Task The_newest_version_in_common_is_spoken(short brokerMin, short brokerMax, short expected)
    {
        Offer(ApiKey.Heartbeat, brokerMin, brokerMax);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal(expected, connection.VersionOf(HeartbeatRequest.Api));
    }

    [Fact]
    public async Task Without_a_version_in_common_the_error_names_both_ranges()
    {
        Offer(ApiKey.Heartbeat, 7, 9);
        await using BrokerConnection connection = await OpenAsync();
        KafkaVersionException failure = Assert.Throws<KafkaVersionException>(() => connection.VersionOf(HeartbeatRequest.Api));
        Assert.Contains("7 to 9", failure.Message, StringComparison.Ordinal);
        Assert.Contains("0 to 4", failure.Message, StringComparison.Ordinal);
        Assert.False(failure.IsTransient);
    }

    [Fact]
    public async Task A_request_whose_listener_fails_is_answered_and_keeps_no_permit()
    {
        const string host = "counted";
        int failureCount = 0;
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Name == "kafka.client.active_requests")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            if (tags.ToArray().Any(static tag => tag.Value is host))
            {
                failureCount++;
                throw new InvalidOperationException("The listener failed.");
            }
        });
        listener.Start();
        await using BrokerConnection connection = await OpenAsync(static options => options.MaxInFlightRequests = 1, new BrokerAddress(host, 9092));
        ScriptedBroker.Connection peer = await PeerAsync();
        for (int i = 1; i <= 2; i++)
        {
            Task<HeartbeatResponse> request = HeartbeatAsync(connection);
            await AnswerAsync(peer, ErrorCode.None);
            await request.WaitAsync(Until.Limit);

            // At its beginning and at its end.
            Assert.Equal(2 * i, failureCount);
        }
    }

    private void Offer(ApiKey key, short min, short max) => _broker.OnApiVersions = _ => new ApiVersionsResponse
    {
        ApiKeys = [new ApiVersionRange { Key = key, MinVersion = min, MaxVersion = max }],
    };

    private Task<BrokerConnection> OpenAsync(Action<KafkaClientOptions>? configure = null, BrokerAddress? address = null)
    {
        var options = new KafkaClientOptions();
        configure?.Invoke(options);
        var context = new ClientContext(ClientSettings.From(options), _broker, _time, NullLoggerFactory.Instance, new Chance(new Random(1)));
        return BrokerConnection.OpenAsync(address ?? Address, context, context.Settings.MaxInFlightRequests, CancellationToken.None);
    }

    private async Task<ScriptedBroker.Connection> PeerAsync() => await _broker.Connections.Reader.ReadAsync(Until.Timeout());

    private static Task<HeartbeatResponse> HeartbeatAsync(
        BrokerConnection connection, TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        connection.SendAsync<HeartbeatRequest, HeartbeatResponse>(
            new HeartbeatRequest { GroupId = "g" }, timeout ?? TimeSpan.FromMinutes(1), cancellationToken);

    private static async Task AnswerAsync(ScriptedBroker.Connection peer, ErrorCode error, int throttleMilliseconds = 0)
    {
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        peer.Answer(new HeartbeatResponse { ErrorCode = error, ThrottleMilliseconds = throttleMilliseconds }, HeartbeatRequest.Api, header.Version, header.CorrelationId);
    }
}
