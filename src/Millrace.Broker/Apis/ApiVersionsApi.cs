using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>ApiVersions (key 18, versions 0-4): which APIs this broker has, in which versions, and which features of a cluster (KIP-584).</summary>
/// <remarks>
/// A version that is not known here is answered with UNSUPPORTED_VERSION in the layout of version 0, with the list, so that a newer client can choose
/// (KIP-511). The feature <c>transaction.version</c> at level 2 is what makes a client leave it to the broker to add partitions to transactions, and take its next epoch from the
/// answer to EndTxn (KIP-890). Every API is offered from version 0, since older librdkafka looks for exact low versions to decide what a broker can do.
/// </remarks>
internal sealed class ApiVersionsApi : Api
{
    private const string TransactionVersion = "transaction.version";
    private const short NewestTransactionVersion = 2;

    /// <summary>The features never change; a client takes those with the highest epoch that it has seen.</summary>
    private const long FeaturesEpoch = 1;

    /// <summary>KAFKA-17011: before, clients fail on a feature that is supported from 0 on.</summary>
    private const short FirstVersionOfFeaturesFromZero = 4;

    private List<ApiVersionRange> _ranges = [];

    public override ApiDefinition Definition => ApiVersionsRequest.Api;

    /// <summary>What is offered. Called once, before the first request.</summary>
    public void Offer(IEnumerable<ApiDefinition> definitions) =>
        _ranges =
        [
            .. definitions.Select(definition => new ApiVersionRange
            {
                Key = definition.Key, MinVersion = definition.MinVersion, MaxVersion = definition.MaxVersion,
            }),
        ];

    public override ValueTask<IMessage?> HandleAsync(ReadOnlyMemory<byte> body, RequestContext context)
    {
        if (context.Session.IsLoggingIn)
        {
            context.CloseConnection("it asks for ApiVersions between the messages of its login");
            return new(new ApiVersionsResponse { ErrorCode = ErrorCode.IllegalSaslState });
        }

        if (!Definition.Supports(context.Version))
        {
            // Its body has a layout of the future: there is nothing to read in it.
            return new(new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion, ApiKeys = _ranges });
        }

        if (!MessageCodec.TryReadRequest(body, context.Version, out ApiVersionsRequest? request, out string? error))
        {
            context.CloseConnection($"it cannot be read, {error}");
            return default;
        }

        return new(new ApiVersionsResponse
        {
            ErrorCode = context.Version >= 3 && !IsSoftwareName(request) ? ErrorCode.InvalidRequest : ErrorCode.None,
            ApiKeys = _ranges,
            SupportedFeatures = context.Version < FirstVersionOfFeaturesFromZero ? [] : [new SupportedFeature { Name = TransactionVersion, MaxVersion = NewestTransactionVersion }],
            FinalizedFeaturesEpoch = FeaturesEpoch,
            FinalizedFeatures = [new FinalizedFeature { Name = TransactionVersion, MinVersionLevel = NewestTransactionVersion, MaxVersionLevel = NewestTransactionVersion }],
        });
    }

    /// <summary>KIP-511 wants names that can stand in a metric: letters and digits, with '-' and '.' between them.</summary>
    private static bool IsSoftwareName(ApiVersionsRequest request) =>
        IsWord(request.ClientSoftwareName) && IsWord(request.ClientSoftwareVersion);

    private static bool IsWord(string text)
    {
        if (text.Length == 0 || !char.IsAsciiLetterOrDigit(text[0]) || !char.IsAsciiLetterOrDigit(text[^1]))
        {
            return false;
        }

        foreach (char character in text)
        {
            if (!char.IsAsciiLetterOrDigit(character) && character is not ('-' or '.'))
            {
                return false;
            }
        }

        return true;
    }
}
