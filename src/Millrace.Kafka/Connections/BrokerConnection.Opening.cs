namespace Millrace.Kafka;

/// <summary>How a connection comes to be.</summary>
internal sealed partial class BrokerConnection
{
    /// <summary>Connects, learns which versions the broker speaks, and logs in.</summary>
    /// <param name="address">The broker.</param>
    /// <param name="context">What the client shares.</param>
    /// <param name="maxInFlight">How many requests may be outstanding; further ones wait.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <param name="timeout">How long it may take; null takes <see cref="KafkaClientOptions.ConnectTimeout"/>.</param>
    /// <exception cref="KafkaException">No connection, no understanding, or no admission.</exception>
    public static async Task<BrokerConnection> OpenAsync(
        BrokerAddress address, ClientContext context, int maxInFlight, CancellationToken cancellationToken, TimeSpan? timeout = null)
    {
        TimeSpan limit = timeout ?? context.Settings.ConnectTimeout;
        using var deadline = new CancellationTokenSource(limit, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        IKafkaTransport? transport = null;
        try
        {
            transport = await context.Connector.ConnectAsync(address, linked.Token);
            VersionNegotiation.Result result = await VersionNegotiation.RunAsync(address, transport, VersionNegotiation.FirstVersion, context, linked.Token);
            if (result.Versions is null)
            {
                // An old broker answers a version of ApiVersions that it does not know by closing the connection.
                await transport.DisposeAsync();
                transport = await context.Connector.ConnectAsync(address, linked.Token);
                result = await VersionNegotiation.RunAsync(address, transport, VersionNegotiation.OldestVersion, context, linked.Token);
            }

            BrokerVersions versions = result.Versions ?? throw new KafkaConnectionException(
                $"{address} closed the connection when it was asked for its API versions. {HintOf(context)}", result.Failure);
            TimeSpan lifetime = await LogInAsync(address, context, transport, versions, linked.Token);
            var connection = new BrokerConnection(address, context, transport, versions, maxInFlight);
            transport = null;
            connection.BeginSession(lifetime);
            if (Diagnostics.Connections.Enabled)
            {
                connection._isCounted = true;
                Diagnostics.Connections.Tell(1, Diagnostics.BrokerTags(address));
            }

            connection._loops = Task.WhenAll(connection.SendLoopAsync(), connection.ReceiveLoopAsync());
            return connection;
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new KafkaConnectionException(
                $"No connection to {address} within {limit} ({nameof(KafkaClientOptions.ConnectTimeout)}). Check that it is a Kafka broker and can be reached.");
        }
        finally
        {
            if (transport is not null)
            {
                await transport.DisposeAsync();
            }
        }
    }

    /// <summary>What most often makes a broker that is well end a connection before its first answer. Some send no word of it, not even the alert that TLS has.</summary>
    private static string HintOf(ClientContext context) => context.Settings.Security.Tls switch
    {
        null => $"If its listener speaks TLS, set {nameof(KafkaSecurityOptions.Protocol)} (security.protocol).",
        { HasOwnCertificate: false } => $"If it wants a certificate of its clients (ssl.client.auth=required), set {nameof(KafkaSecurityOptions.CertificateFile)}.",
        _ => $"If it wants a certificate of its clients, check that it trusts who signed {nameof(KafkaSecurityOptions.CertificateFile)}, and that this has not expired.",
    };

    private static async ValueTask<TimeSpan> LogInAsync(
        BrokerAddress address, ClientContext context, IKafkaTransport transport, BrokerVersions versions, CancellationToken cancellationToken)
    {
        if (context.Login is not { } login)
        {
            return TimeSpan.Zero;
        }

        var channel = new TransportSaslChannel(transport, address, context.Settings.ClientId);
        return await SaslAuthenticator.RunAsync(channel, address, versions, login, cancellationToken);
    }
}
