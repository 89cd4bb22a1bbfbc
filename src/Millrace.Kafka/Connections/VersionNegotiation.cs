using System.Buffers.Binary;
using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// The first exchange on a connection (KIP-35, KIP-511): version 3 of ApiVersions, then version 0 for a broker that does not know 3. It
/// says so with error 35 in the layout of version 0, or by closing the connection.
/// </summary>
internal static class VersionNegotiation
{
    public const short FirstVersion = 3;
    public const short OldestVersion = 0;

    private const int CorrelationId = 0;
    private const int ErrorCodePosition = sizeof(int);

    /// <summary>The broker's versions, or why the connection ended before they were known.</summary>
    public readonly record struct Result(FrozenDictionary<ApiKey, (short Min, short Max)>? Versions, KafkaConnectionException? Failure);

    public static async ValueTask<Result> RunAsync(
        IKafkaTransport transport,
        short version,
        ClientContext context,
        CancellationToken cancellationToken)
    {
        try
        {
            ApiVersionsResponse? response = await AskAsync(transport, version, context, cancellationToken)
                ?? await AskAsync(transport, OldestVersion, context, cancellationToken);
            if (response is null || response.ErrorCode != ErrorCode.None)
            {
                throw new KafkaVersionException($"The broker refuses every version of ApiVersions that this client has ({OldestVersion} to {FirstVersion}).");
            }

            var versions = new Dictionary<ApiKey, (short, short)>();
            foreach (ApiVersionRange range in response.ApiKeys)
            {
                versions[range.Key] = (range.MinVersion, range.MaxVersion);
            }

            return new Result(versions.ToFrozenDictionary(), null);
        }
        catch (KafkaConnectionException failure)
        {
            return new Result(null, failure);
        }
    }

    /// <summary>One question; null when the broker does not know the version.</summary>
    private static async ValueTask<ApiVersionsResponse?> AskAsync(
        IKafkaTransport transport,
        short version,
        ClientContext context,
        CancellationToken cancellationToken)
    {
        var request = new ApiVersionsRequest
        {
            ClientSoftwareName = "millrace",
            ClientSoftwareVersion = typeof(VersionNegotiation).Assembly.GetName().Version?.ToString(3) ?? "0",
        };
        await transport.SendAsync(MessageCodec.WriteRequest(request, version, CorrelationId, context.Settings.ClientId), cancellationToken);
        FrameBuffer frame = await transport.ReceiveAsync(cancellationToken);
        try
        {
            // The error stands at the same place in every version, so it is looked at before the layout is known.
            bool isRefused = frame.Payload.Length >= ErrorCodePosition + sizeof(short)
                && BinaryPrimitives.ReadInt16BigEndian(frame.Payload.Span[ErrorCodePosition..]) == (short)ErrorCode.UnsupportedVersion;
            if (isRefused)
            {
                return null;
            }

            bool isRead = MessageCodec.TryReadResponse(
                frame.Payload, ApiVersionsRequest.Api, version, out _, out ApiVersionsResponse? response, out string? error);
            return isRead
                ? response
                : throw new KafkaProtocolException($"The answer to ApiVersions cannot be read: {error} Is this a Kafka broker?");
        }
        finally
        {
            frame.Release();
        }
    }
}
