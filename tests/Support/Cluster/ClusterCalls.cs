using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Tests;

/// <summary>Single requests to the brokers of a cluster, without a client: what tests need beside what they test.</summary>
internal static class ClusterCalls
{
    private const string ClientId = "millrace-tests";

    private static readonly TcpKafkaConnector s_connector = new();

    /// <summary>The versions that a broker offers, by API.</summary>
    public static async Task<IReadOnlyDictionary<ApiKey, (short Min, short Max)>> VersionsAsync(BrokerAddress broker, CancellationToken cancellationToken)
    {
        // Version 0, whose layout even an error has.
        ApiVersionsResponse response = await SendAsync<ApiVersionsRequest, ApiVersionsResponse>(broker, new ApiVersionsRequest(), 0, cancellationToken);
        return response.ApiKeys.ToDictionary(range => range.Key, range => (range.MinVersion, range.MaxVersion));
    }

    public static async Task<TResponse> SendAsync<TRequest, TResponse>(
        BrokerAddress broker, TRequest request, short version, CancellationToken cancellationToken)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new()
    {
        await using IKafkaTransport transport = await s_connector.ConnectAsync(broker, cancellationToken);
        await transport.SendAsync(MessageCodec.WriteRequest(request, version, correlationId: 1, ClientId), cancellationToken);
        FrameBuffer frame = await transport.ReceiveAsync(cancellationToken);
        bool isRead = MessageCodec.TryReadResponse(frame.Payload, TRequest.Api, version, out _, out TResponse? response, out string? error);
        frame.Release();
        return isRead ? response! : throw new InvalidOperationException($"The answer of {broker} to {TRequest.Api.Key} version {version} cannot be read: {error}");
    }

    /// <summary>The newest version that both sides have, or null.</summary>
    public static short? Common(IReadOnlyDictionary<ApiKey, (short Min, short Max)> versions, ApiDefinition api, short lowest = 0) =>
        versions.TryGetValue(api.Key, out (short Min, short Max) theirs) && Math.Min(api.MaxVersion, theirs.Max) is var version
            && version >= Math.Max(lowest, Math.Max(api.MinVersion, theirs.Min))
            ? version
            : null;
}
