using System.Buffers.Binary;
using System.Net;
using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>What a listener with SASL serves, to whom, and for how long.</summary>
public sealed class LoginTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-login-");

    private string UsersFile => Path.Combine(_folder.FullName, "users");

    [Fact]
    public async Task Before_the_login_only_what_belongs_to_it_is_served()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        ApiVersionsResponse versions = await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 0);
        Assert.Contains(versions.ApiKeys, range => range.Key == ApiKey.SaslAuthenticate);
        await client.SendRawAsync(MessageCodec.WriteRequest(new MetadataRequest(), 9, 1, "tcp").Bytes);
        await client.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("before it has logged in") && line.Text.Contains("SCRAM-SHA-256"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task After_the_login_everything_is_served(short version)
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        SaslAuthenticateResponse response = await LogInAsync(client, version: version);
        Assert.Equal((ErrorCode.None, 0L), (response.ErrorCode, response.SessionLifetimeMilliseconds));
        MetadataResponse metadata = await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9);
        Assert.Equal(broker.EndPoint.Port, Assert.Single(metadata.Brokers).Port);
    }

    [Theory]
    [InlineData("alice", "guessed")]
    [InlineData("mallory", "sesame")]
    [InlineData("", "sesame")]
    public async Task A_login_that_fails_is_answered_alike_after_a_pause_and_the_connection_closed(string user, string password)
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await HandshakeAsync(client);
        Task<SaslAuthenticateResponse> answer = AuthenticateAsync(client, user, password);
        await Conditions.BecomesTrueAsync(() => broker.Logs.Lines.Any(line => line.EventId == 2112), "the login has failed");
        Assert.False(answer.IsCompleted);
        await broker.BecomesTrueWithTimeAsync(() => answer.IsCompleted, "the answer");
        SaslAuthenticateResponse response = await answer;
        Assert.Equal((ErrorCode.SaslAuthenticationFailed, "The name or the password is wrong."), (response.ErrorCode, response.ErrorMessage));
        await client.WaitUntilClosedAsync();
        Assert.DoesNotContain(broker.Logs.Lines, line => line.Text.Contains(password));
    }

    [Fact]
    public async Task Who_does_not_log_in_in_time_is_closed_and_who_has_is_not()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient silent = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await silent.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 0);
        using TcpTestClient known = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await LogInAsync(known);
        broker.Time.Advance(TimeSpan.FromSeconds(31));
        await silent.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2113);
        await known.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9);
    }

    [Fact]
    public async Task A_session_that_has_ended_serves_nothing_but_a_new_login()
    {
        await using TestBroker broker = await StartAsync(options => options.MaxSessionLifetime = TimeSpan.FromMinutes(1));
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        Assert.Equal(60_000, (await LogInAsync(client)).SessionLifetimeMilliseconds);
        broker.Time.Advance(TimeSpan.FromSeconds(59));
        await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9);
        broker.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(60_000, (await LogInAsync(client)).SessionLifetimeMilliseconds);
        await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9);
        broker.Time.Advance(TimeSpan.FromSeconds(61));
        await client.SendRawAsync(MessageCodec.WriteRequest(new MetadataRequest(), 9, 1, "tcp").Bytes);
        await client.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("connections.max.reauth.ms"));
    }

    [Fact]
    public async Task Nobody_becomes_somebody_else_on_the_same_connection()
    {
        await using TestBroker broker = await StartAsync(options => options.FailedAuthenticationDelay = TimeSpan.Zero);
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await LogInAsync(client);
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, (await LogInAsync(client, "bob")).ErrorCode);
        await client.WaitUntilClosedAsync();
    }

    [Fact]
    public async Task Nothing_else_is_served_between_the_messages_of_a_new_login()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await LogInAsync(client);
        await HandshakeAsync(client);
        await client.SendRawAsync(MessageCodec.WriteRequest(new MetadataRequest(), 9, 1, "tcp").Bytes);
        await client.WaitUntilClosedAsync();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task ApiVersions_has_no_place_between_the_messages_of_a_login(short version)
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await HandshakeAsync(client);
        ApiVersionsResponse response = await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(
            new ApiVersionsRequest { ClientSoftwareName = "test", ClientSoftwareVersion = "1" }, version);
        Assert.Equal(ErrorCode.IllegalSaslState, response.ErrorCode);
        await client.WaitUntilClosedAsync();
    }

    [Theory]
    [InlineData("GSSAPI", ErrorCode.UnsupportedSaslMechanism)]
    [InlineData("", ErrorCode.UnsupportedSaslMechanism)]
    public async Task A_mechanism_that_is_not_offered_is_answered_with_those_that_are(string mechanism, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync(options => options.SaslMechanisms = ["SCRAM-SHA-512"]);
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        SaslHandshakeResponse response = await client.SendAsync<SaslHandshakeRequest, SaslHandshakeResponse>(new SaslHandshakeRequest { Mechanism = mechanism }, 1);
        Assert.Equal(expected, response.ErrorCode);
        Assert.Equal(["SCRAM-SHA-512"], response.Mechanisms);
        await client.WaitUntilClosedAsync();
    }

    [Fact]
    public async Task A_message_before_its_mechanism_and_a_login_where_nobody_logs_in_are_refused()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient hasty = await TcpTestClient.ConnectAsync(broker.EndPoint);
        Assert.Equal(ErrorCode.IllegalSaslState, (await AuthenticateAsync(hasty, "alice", "sesame")).ErrorCode);
        await using TestBroker open = await TestBroker.StartListeningAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(open.EndPoint);
        SaslHandshakeResponse response = await client.SendAsync<SaslHandshakeRequest, SaslHandshakeResponse>(new SaslHandshakeRequest { Mechanism = "PLAIN" }, 1);
        Assert.Equal(ErrorCode.IllegalSaslState, response.ErrorCode);
    }

    /// <summary>As clients before Kafka 1.0 do, and kafka-python 2.0.</summary>
    [Theory]
    [InlineData("sesame", true)]
    [InlineData("guessed", false)]
    public async Task After_version_0_of_the_handshake_messages_travel_bare(string password, bool isRight)
    {
        await using TestBroker broker = await StartAsync(options => options.FailedAuthenticationDelay = TimeSpan.Zero);
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await client.SendAsync<SaslHandshakeRequest, SaslHandshakeResponse>(new SaslHandshakeRequest { Mechanism = "PLAIN" }, 0);
        byte[] message = Encoding.UTF8.GetBytes($"\0alice\0{password}");
        byte[] frame = new byte[4 + message.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, message.Length);
        message.CopyTo(frame, 4);
        await client.SendRawAsync(frame);
        byte[]? answer = await client.ReceiveAsync();
        if (isRight)
        {
            Assert.Empty(answer!);
            await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9);
        }
        else
        {
            Assert.Null(answer);
        }
    }

    [Fact]
    public async Task Who_has_not_logged_in_cannot_make_the_broker_hold_a_large_request()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        byte[] claim = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(claim, ConnectionSession.MaxUnauthenticatedByteCount + 1);
        await client.SendRawAsync(claim);
        await client.WaitUntilClosedAsync();
        await broker.CreateTopicAsync("orders");
        using TcpTestClient known = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await LogInAsync(known);
        ProduceResponse produced = await known.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(new string('x', 900_000))), 9);
        Assert.Equal(ErrorCode.None, produced.Topics[0].Partitions[0].ErrorCode);
    }

    [Fact]
    public async Task Each_listener_is_told_to_its_own_clients()
    {
        await using TestBroker broker = await StartAsync(options => options.Listeners.Add(new ListenerOptions
        {
            EndPoint = new IPEndPoint(IPAddress.Loopback, 0), AdvertisedHost = "outside.example", AdvertisedPort = 9999,
        }));
        Assert.Equal([ListenerProtocol.SaslPlaintext, ListenerProtocol.Plaintext], broker.Broker.Listeners.Select(listener => listener.Protocol));
        using TcpTestClient plain = await TcpTestClient.ConnectAsync(broker.Broker.Listeners[1].EndPoint);
        MetadataBroker told = Assert.Single((await plain.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9)).Brokers);
        Assert.Equal(("outside.example", 9999), (told.Host, told.Port));
        using TcpTestClient secure = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await LogInAsync(secure);
        told = Assert.Single((await secure.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest(), 9)).Brokers);
        Assert.Equal(("127.0.0.1", broker.EndPoint.Port), (told.Host, told.Port));
    }

    [Fact]
    public async Task Settings_of_listeners_that_make_no_sense_are_refused_together()
    {
        BrokerStartException refused = await Assert.ThrowsAsync<BrokerStartException>(() => TestBroker.StartAsync(options =>
        {
            options.Listeners.Add(new ListenerOptions { Protocol = ListenerProtocol.SaslSsl });
            options.SaslMechanisms = ["GSSAPI"];
            options.AuthenticationTimeout = TimeSpan.Zero;
        }));
        Assert.Contains("UsersFile", refused.Message, StringComparison.Ordinal);
        Assert.Contains("Tls.CertificateFile", refused.Message, StringComparison.Ordinal);
        Assert.Contains("GSSAPI", refused.Message, StringComparison.Ordinal);
        Assert.Contains("AuthenticationTimeout", refused.Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Delete(recursive: true);

    private async Task<TestBroker> StartAsync(Action<BrokerOptions>? configure = null)
    {
        var users = new UserFile();
        foreach (string user in new[] { "alice", "bob" })
        {
            users.Set(user, StoredScramKeys.Create(ScramHash.Sha256, "sesame", [1, 2, 3], StoredScramKeys.MinIterations));
        }

        users.Write(new FileStorage(), UsersFile);
        return await TestBroker.StartAsync(options =>
        {
            options.UsersFile = UsersFile;
            options.Listeners.Add(new ListenerOptions { Protocol = ListenerProtocol.SaslPlaintext, EndPoint = new IPEndPoint(IPAddress.Loopback, 0) });
            configure?.Invoke(options);
        });
    }

    private static async Task<SaslAuthenticateResponse> LogInAsync(TcpTestClient client, string user = "alice", short version = 2)
    {
        await HandshakeAsync(client);
        return await AuthenticateAsync(client, user, "sesame", version);
    }

    private static async Task HandshakeAsync(TcpTestClient client)
    {
        SaslHandshakeResponse response = await client.SendAsync<SaslHandshakeRequest, SaslHandshakeResponse>(new SaslHandshakeRequest { Mechanism = "PLAIN" }, 1);
        Assert.Equal(ErrorCode.None, response.ErrorCode);
    }

    private static Task<SaslAuthenticateResponse> AuthenticateAsync(TcpTestClient client, string user, string password, short version = 2) =>
        client.SendAsync<SaslAuthenticateRequest, SaslAuthenticateResponse>(
            new SaslAuthenticateRequest { AuthBytes = Encoding.UTF8.GetBytes($"\0{user}\0{password}") }, version);
}
