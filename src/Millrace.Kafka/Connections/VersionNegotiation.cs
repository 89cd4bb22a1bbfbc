using System.Buffers.Binary;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// The first exchange on a connection (KIP-35, KIP-511): the newest version of ApiVersions, then the newest one that the broker knows. It says so with error 35 in the
/// layout of version 0, which Kafka 2.4 and later fill in, or by closing the connection.
/// </summary>
internal static class VersionNegotiation
{
    public const short FirstVersion = 4;
    public const short OldestVersion = 0;

    private const int CorrelationId = 0;
    private const int ErrorCodePosition = sizeof(int);

    /// <summary>The broker's versions, or why the connection ended before they were known.</summary>
    public readonly record struct Result(BrokerVersions? Versions, KafkaConnectionException? Failure);

    public static async ValueTask<Result> RunAsync(
        BrokerAddress address,
        IKafkaTransport transport,
        short version,
        ClientContext context,
        CancellationToken cancellationToken)
    {
        try
        {
            (ApiVersionsResponse response, short answered) = await AskAsync(address, transport, version, context, cancellationToken);
            if (response.ErrorCode == ErrorCode.UnsupportedVersion && answered > OldestVersion)
            {
                // Not the same one again, whatever the broker says of itself.
                short second = Math.Min(NewestOf(response), (short)(answered - 1));
                (response, answered) = await AskAsync(address, transport, second, context, cancellationToken);
                if (response.ErrorCode == ErrorCode.UnsupportedVersion && answered > OldestVersion)
                {
                    (response, answered) = await AskAsync(address, transport, OldestVersion, context, cancellationToken);
                }
            }

            return response.ErrorCode == ErrorCode.None
                ? new Result(BrokerVersions.From(response, answered), null)
                : throw new KafkaVersionException(
                    $"{address} refuses every version of ApiVersions that this client has ({OldestVersion} to {FirstVersion}): {KafkaErrors.Describe(response.ErrorCode)}");
        }
        catch (KafkaConnectionException failure)
        {
            return new Result(null, failure);
        }
    }

    /// <summary>The newest version of ApiVersions of a broker that has refused a newer one.</summary>
    private static short NewestOf(ApiVersionsResponse refusal)
    {
        foreach (ApiVersionRange range in refusal.ApiKeys)
        {
            if (range.Key == ApiKey.ApiVersions)
            {
                return Math.Clamp(range.MaxVersion, OldestVersion, FirstVersion);
            }
        }

        return OldestVersion;
    }

    /// <summary>One question, and the version that was asked in.</summary>
    private static async ValueTask<(ApiVersionsResponse Response, short Version)> AskAsync(
        BrokerAddress address,
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
            bool isRead = MessageCodec.TryReadResponse(
                frame.Payload, ApiVersionsRequest.Api, isRefused ? OldestVersion : version, out _, out ApiVersionsResponse? response, out string? error);
            if (isRead)
            {
                return (response!, version);
            }

            // Some refuse with the error and nothing behind it.
            return isRefused
                ? (new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion }, version)
                : throw new KafkaProtocolException($"{address} answered ApiVersions with bytes that cannot be read: {error} Is this a Kafka broker?");
        }
        finally
        {
            frame.Release();
        }
    }
}
