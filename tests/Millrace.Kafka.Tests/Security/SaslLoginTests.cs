using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>OAUTHBEARER, and how logins begin and end, against a broker whose every answer is the test's.</summary>
public sealed class SaslLoginTests
{
    private static readonly BrokerAddress Address = new("scripted", 9092);

    private readonly ScriptedBroker _broker = new();
    private readonly ManualTime _time = new();
    private int _tokenCount;
    private TimeSpan _tokenLife = TimeSpan.FromMinutes(10);

    [Fact]
    public async Task A_token_is_sent_with_its_extensions_and_the_session_is_renewed_with_a_new_one_before_it_ends()
    {
        Task<BrokerConnection> opening = OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        Assert.Equal("OAUTHBEARER", await AgreeAsync(peer));
        Assert.Equal("n,,\u0001auth=Bearer token-1\u0001tenant=blue\u0001\u0001", await AnswerAsync(peer, new SaslAuthenticateResponse { SessionLifetimeMilliseconds = 600_000 }));
        await using BrokerConnection connection = await opening;

        // Before 85 % of the session nothing happens, at 95 % the login comes first.
        _time.Advance(TimeSpan.FromMinutes(8.4));
        Task<HeartbeatResponse> early = HeartbeatAsync(connection);
        await AnswerHeartbeatAsync(peer);
        await early;
        _time.Advance(TimeSpan.FromMinutes(1.2));
        Task<HeartbeatResponse>[] late = [HeartbeatAsync(connection), HeartbeatAsync(connection)];
        Assert.Equal("OAUTHBEARER", await AgreeAsync(peer));
        (RequestHeader login, ReadOnlyMemory<byte> body) = await peer.Requests.Reader.ReadAsync(Until.Timeout());

        // Nothing else leaves until the login is done.
        Assert.False(peer.Requests.Reader.TryRead(out _));
        Assert.Contains("token-2", Message(login, body), StringComparison.Ordinal);
        peer.Answer(new SaslAuthenticateResponse { SessionLifetimeMilliseconds = 600_000 }, SaslAuthenticateRequest.Api, login.Version, login.CorrelationId);
        await AnswerHeartbeatAsync(peer);
        await AnswerHeartbeatAsync(peer);
        await Task.WhenAll(late).WaitAsync(Until.Limit);
        Assert.Equal(2, _tokenCount);
    }

    [Fact]
    public async Task Connections_share_a_token_until_four_fifths_of_its_life_are_over()
    {
        ClientContext context = Context();
        for (int i = 0; i < 3; i++)
        {
            await using BrokerConnection connection = await LogInAsync(context);
            _time.Advance(TimeSpan.FromMinutes(3.9));
        }

        // At 0, 3.9 and 7.8 minutes of 10 the first one is taken; from 8 on a second.
        Assert.Equal(1, _tokenCount);
        await using BrokerConnection last = await LogInAsync(context);
        Assert.Equal(2, _tokenCount);
    }

    [Fact]
    public async Task A_refused_token_is_told_with_the_brokers_reason_and_the_next_attempt_asks_for_another()
    {
        ClientContext context = Context();
        Task<BrokerConnection> opening = OpenAsync(context);
        ScriptedBroker.Connection peer = await PeerAsync();
        await AgreeAsync(peer);
        await AnswerAsync(peer, new SaslAuthenticateResponse { AuthBytes = Encoding.UTF8.GetBytes("{\"status\":\"invalid_token\"}") });
        string acknowledgement = await AnswerAsync(peer, new SaslAuthenticateResponse { ErrorCode = ErrorCode.SaslAuthenticationFailed, ErrorMessage = "{\"status\":\"invalid_token\"}" });
        Assert.Equal("\u0001", acknowledgement);
        KafkaAuthenticationException failure = await Assert.ThrowsAsync<KafkaAuthenticationException>(() => opening);
        Assert.Contains("invalid_token", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("token-1", failure.ToString(), StringComparison.Ordinal);
        Assert.Equal("OAUTHBEARER", failure.Mechanism);
        await using BrokerConnection second = await LogInAsync(context);
        Assert.Equal(2, _tokenCount);
    }

    [Theory]
    [InlineData("expired", "ended at")]
    [InlineData("null", "returned null")]
    [InlineData("throws", "no network")]
    public async Task A_provider_without_a_token_is_told_as_a_failure_that_passes(string how, string expected)
    {
        ClientContext context = Context(how switch
        {
            "throws" => _ => throw new InvalidOperationException("no network"),
            "null" => _ => new ValueTask<OAuthBearerToken>((OAuthBearerToken)null!),
            _ => null,
        });
        _tokenLife = -TimeSpan.FromMinutes(1);
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(() => OpenAsync(context));
        Assert.True(failure.IsTransient);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_that_is_still_good_is_used_while_no_new_one_is_to_be_had_and_the_provider_is_asked_after_pauses()
    {
        using var logs = new RecordingLoggers();
        int askedCount = 0;
        bool isDown = false;
        ClientContext context = Context(_ => ++askedCount > 0 && isDown ? throw new InvalidOperationException("503") : NewTokenAsync(default), logs);
        await using BrokerConnection first = await LogInAsync(context);
        isDown = true;
        _time.Advance(TimeSpan.FromMinutes(8.1));

        // Two connections in one pause, and one after it: the pause is 1 s, more or less by a fifth.
        for (int i = 0; i < 2; i++)
        {
            await using BrokerConnection connection = await LogInAsync(context, "token-1");
            Assert.Equal(2, askedCount);
        }

        _time.Advance(TimeSpan.FromSeconds(1.3));
        await using (await LogInAsync(context, "token-1"))
        {
            Assert.Equal(3, askedCount);
        }

        Assert.Equal(2, logs.Lines.Count(line => line.Contains("No new token", StringComparison.Ordinal) && line.Contains("503", StringComparison.Ordinal)));

        // Shortly before its end it is of no use; and then nothing is asked of the provider before the next pause is over either.
        _time.Advance(TimeSpan.FromMinutes(1.9) - TimeSpan.FromSeconds(10));
        for (int i = 0; i < 2; i++)
        {
            KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(() => OpenAsync(context));
            Assert.Contains("503", failure.Message, StringComparison.Ordinal);
            await PeerAsync();
            Assert.Equal(4, askedCount);
        }

        isDown = false;
        _time.Advance(SaslLogin.LongestPause);
        await using BrokerConnection last = await LogInAsync(context, "token-2");
    }

    [Fact]
    public async Task A_connection_waits_for_a_new_token_only_so_long_where_the_last_one_still_does()
    {
        bool hangs = false;
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ClientContext context = Context(async token =>
        {
            if (hangs)
            {
                asked.SetResult();
                await Task.Delay(Timeout.InfiniteTimeSpan, _time, token);
            }

            return await NewTokenAsync(token);
        });
        await using BrokerConnection first = await LogInAsync(context);
        hangs = true;
        _time.Advance(TimeSpan.FromMinutes(8.1));
        Task<BrokerConnection> opening = OpenAsync(context);
        ScriptedBroker.Connection peer = await PeerAsync();
        await asked.Task.WaitAsync(Until.Limit);
        _time.Advance(SaslLogin.LongestWait);
        await AgreeAsync(peer);
        Assert.Contains("token-1", await AnswerAsync(peer, new SaslAuthenticateResponse()), StringComparison.Ordinal);
        await using BrokerConnection second = await opening;
    }

    [Fact]
    public async Task A_session_is_renewed_with_the_token_in_hand_while_no_new_one_is_to_be_had()
    {
        bool isDown = false;
        ClientContext context = Context(_ => isDown ? throw new InvalidOperationException("503") : NewTokenAsync(default));
        Task<BrokerConnection> opening = OpenAsync(context);
        ScriptedBroker.Connection peer = await PeerAsync();
        await AgreeAsync(peer);
        await AnswerAsync(peer, new SaslAuthenticateResponse { SessionLifetimeMilliseconds = 540_000 });
        await using BrokerConnection connection = await opening;
        isDown = true;
        _time.Advance(TimeSpan.FromMinutes(8.6));
        Task<HeartbeatResponse> heartbeat = HeartbeatAsync(connection);
        await AgreeAsync(peer);
        Assert.Contains("token-1", await AnswerAsync(peer, new SaslAuthenticateResponse { SessionLifetimeMilliseconds = 80_000 }), StringComparison.Ordinal);
        await AnswerHeartbeatAsync(peer);
        await heartbeat.WaitAsync(Until.Limit);
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task A_provider_that_fails_bars_no_broker()
    {
        bool isDown = true;
        await using var pool = new ConnectionPool(Context(_ => isDown ? throw new InvalidOperationException("503") : NewTokenAsync(default)));
        await Assert.ThrowsAsync<KafkaConnectionException>(() => pool.GetAsync(Address, ConnectionPurpose.General, CancellationToken.None));
        await PeerAsync();
        isDown = false;
        _time.Advance(TimeSpan.FromSeconds(1.3));
        Task<BrokerConnection> opening = pool.GetAsync(Address, ConnectionPurpose.General, CancellationToken.None);
        ScriptedBroker.Connection peer = await PeerAsync();
        await AgreeAsync(peer);
        await AnswerAsync(peer, new SaslAuthenticateResponse());
        await opening.WaitAsync(Until.Limit);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_provider_that_hangs_holds_nobody_up_once_the_attempt_is_over(bool heedsItsToken)
    {
        ClientContext context = Context(async token =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, _time, heedsItsToken ? token : CancellationToken.None);
            throw new InvalidOperationException("never");
        });
        Task<BrokerConnection> opening = OpenAsync(context);
        await PeerAsync();
        _time.Advance(TimeSpan.FromSeconds(10));
        await Assert.ThrowsAsync<KafkaConnectionException>(() => opening.WaitAsync(Until.Limit));
    }

    [Theory]
    [InlineData(ErrorCode.UnsupportedSaslMechanism, "GSSAPI, PLAIN")]
    [InlineData(ErrorCode.IllegalSaslState, "wants no SASL")]
    public async Task A_mechanism_that_the_broker_does_not_offer_is_refused_with_those_that_it_does(ErrorCode error, string expected)
    {
        Task<BrokerConnection> opening = OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        peer.Answer(new SaslHandshakeResponse { ErrorCode = error, Mechanisms = ["GSSAPI", "PLAIN"] }, SaslHandshakeRequest.Api, header.Version, header.CorrelationId);
        Assert.Contains(expected, (await Assert.ThrowsAsync<KafkaAuthenticationException>(() => opening)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_broker_from_before_Kafka_1_0_is_told_apart()
    {
        _broker.OnApiVersions = _ => new ApiVersionsResponse { ApiKeys = [new ApiVersionRange { Key = ApiKey.SaslHandshake, MinVersion = 0, MaxVersion = 0 }] };
        await Assert.ThrowsAsync<KafkaVersionException>(() => OpenAsync());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task The_newest_version_that_the_broker_has_carries_the_login(short newest)
    {
        _broker.OnApiVersions = _ => new ApiVersionsResponse
        {
            ApiKeys =
            [
                new ApiVersionRange { Key = ApiKey.SaslHandshake, MinVersion = 0, MaxVersion = 1 },
                new ApiVersionRange { Key = ApiKey.SaslAuthenticate, MinVersion = 0, MaxVersion = newest },
            ],
        };
        Task<BrokerConnection> opening = OpenAsync();
        ScriptedBroker.Connection peer = await PeerAsync();
        await AgreeAsync(peer);
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        Assert.Equal(newest, header.Version);
        peer.Answer(new SaslAuthenticateResponse(), SaslAuthenticateRequest.Api, header.Version, header.CorrelationId);
        await (await opening).DisposeAsync();
    }

    [Fact]
    public async Task A_refusal_is_remembered_for_a_pause_that_grows()
    {
        await using var pool = new ConnectionPool(Context());
        double[] least = [0.8, 1.6, 3.2];
        foreach (double seconds in least)
        {
            Assert.Equal(0, _broker.Connections.Reader.Count);
            Task<BrokerConnection> opening = pool.GetAsync(Address, ConnectionPurpose.General, CancellationToken.None);
            ScriptedBroker.Connection peer = await PeerAsync();
            await AgreeAsync(peer);
            await AnswerAsync(peer, new SaslAuthenticateResponse { ErrorCode = ErrorCode.SaslAuthenticationFailed });
            await Assert.ThrowsAsync<KafkaAuthenticationException>(() => opening.WaitAsync(Until.Limit));
            _time.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromMilliseconds(1));

            // Another connection of the same client to the same broker shares it.
            await Assert.ThrowsAsync<KafkaAuthenticationException>(() => pool.GetAsync(Address, ConnectionPurpose.Produce, CancellationToken.None));
            Assert.Equal(0, _broker.Connections.Reader.Count);
            _time.Advance(TimeSpan.FromSeconds(seconds));
        }
    }

    private ClientContext Context(Func<CancellationToken, ValueTask<OAuthBearerToken>>? provider = null, ILoggerFactory? loggers = null)
    {
        var options = new KafkaClientOptions
        {
            Security = new KafkaSecurityOptions
            {
                Protocol = SecurityProtocol.SaslPlaintext, Mechanism = SaslMechanism.OAuthBearer, TokenProvider = provider ?? NewTokenAsync,
            },
        };
        return new ClientContext(ClientSettings.From(options), _broker, _time, loggers ?? NullLoggerFactory.Instance, new Chance(new Random(1)));
    }

    private ValueTask<OAuthBearerToken> NewTokenAsync(CancellationToken cancellationToken) => new(new OAuthBearerToken(
        $"token-{++_tokenCount}", _time.GetUtcNow() + _tokenLife, new Dictionary<string, string> { ["tenant"] = "blue" }));

    private Task<BrokerConnection> OpenAsync(ClientContext? context = null) =>
        BrokerConnection.OpenAsync(Address, context ?? Context(), 8, CancellationToken.None).WaitAsync(Until.Limit);

    private async Task<BrokerConnection> LogInAsync(ClientContext context, string token = "token")
    {
        Task<BrokerConnection> opening = OpenAsync(context);
        ScriptedBroker.Connection peer = await PeerAsync();
        await AgreeAsync(peer);
        Assert.Contains(token, await AnswerAsync(peer, new SaslAuthenticateResponse()), StringComparison.Ordinal);
        return await opening;
    }

    private async Task<ScriptedBroker.Connection> PeerAsync() => await _broker.Connections.Reader.ReadAsync(Until.Timeout());

    private static async Task<string> AgreeAsync(ScriptedBroker.Connection peer)
    {
        (RequestHeader header, ReadOnlyMemory<byte> body) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        Assert.Equal((ApiKey.SaslHandshake, 1), (header.Key, header.Version));
        Assert.True(MessageCodec.TryReadRequest(body, header.Version, out SaslHandshakeRequest? request, out string? error), error);
        peer.Answer(new SaslHandshakeResponse { Mechanisms = [request.Mechanism] }, SaslHandshakeRequest.Api, header.Version, header.CorrelationId);
        return request.Mechanism;
    }

    private static async Task<string> AnswerAsync(ScriptedBroker.Connection peer, SaslAuthenticateResponse response)
    {
        (RequestHeader header, ReadOnlyMemory<byte> body) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        peer.Answer(response, SaslAuthenticateRequest.Api, header.Version, header.CorrelationId);
        return Message(header, body);
    }

    private static string Message(RequestHeader header, ReadOnlyMemory<byte> body)
    {
        Assert.Equal(ApiKey.SaslAuthenticate, header.Key);
        Assert.True(MessageCodec.TryReadRequest(body, header.Version, out SaslAuthenticateRequest? request, out string? error), error);
        return Encoding.UTF8.GetString(request.AuthBytes);
    }

    private static async Task AnswerHeartbeatAsync(ScriptedBroker.Connection peer)
    {
        (RequestHeader header, _) = await peer.Requests.Reader.ReadAsync(Until.Timeout());
        Assert.Equal(ApiKey.Heartbeat, header.Key);
        peer.Answer(new HeartbeatResponse(), HeartbeatRequest.Api, header.Version, header.CorrelationId);
    }

    private static Task<HeartbeatResponse> HeartbeatAsync(BrokerConnection connection) =>
        connection.SendAsync<HeartbeatRequest, HeartbeatResponse>(new HeartbeatRequest { GroupId = "g" }, TimeSpan.FromMinutes(1), CancellationToken.None);
}
