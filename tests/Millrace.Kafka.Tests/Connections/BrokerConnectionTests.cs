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
    public async Task A_broker_that_refuses_version_3_of_ApiVersions_is_asked_in_version_0()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version => version > 0 ? new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion } : answer(version);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal([3, 0], _broker.ApiVersionsAsked);
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task A_broker_that_closes_the_connection_at_version_3_of_ApiVersions_is_asked_in_version_0()
    {
        Func<short, ApiVersionsResponse?> answer = _broker.OnApiVersions;
        _broker.OnApiVersions = version => version > 0 ? null : answer(version);
        await using BrokerConnection connection = await OpenAsync();
        Assert.Equal([3, 0], _broker.ApiVersionsAsked);
        Assert.Equal(2, _broker.Connections.Reader.Count);
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

    private void Offer(ApiKey key, short min, short max) => _broker.OnApiVersions = _ => new ApiVersionsResponse
    {
        ApiKeys = [new ApiVersionRange { Key = key, MinVersion = min, MaxVersion = max }],
    };

    private Task<BrokerConnection> OpenAsync(Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions();
        configure?.Invoke(options);
        var context = new ClientContext(ClientSettings.From(options), _broker, _time, NullLoggerFactory.Instance, new Chance(new Random(1)));
        return BrokerConnection.OpenAsync(Address, context, context.Settings.MaxInFlightRequests, CancellationToken.None);
    }

    private async Task<ScriptedBroker.Connection> PeerAsync() => await _broker.Connections.Reader.ReadAsync(Until.Timeout());

    private static Task<HeartbeatResponse> HeartbeatAsync(
        BrokerConnection connection, TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        connection.SendAsync<HeartbeatRequest, HeartbeatResponse>(
            new HeartbeatRequest { GroupId = "g" }, timeout ?? TimeSpan.FromMinutes(1), cancellationToken);

    private static async Task AnswerAsync(ScriptedBroker.Connection peer, ErrorCode error)
    {
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        peer.Answer(new HeartbeatResponse { ErrorCode = error }, HeartbeatRequest.Api, header.Version, header.CorrelationId);
    }
}
