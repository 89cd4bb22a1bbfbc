using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What a broker has said of itself when a connection was opened. A connection keeps it; the next one asks again, since a broker may be another program by then.</summary>
/// <param name="Ranges">Its APIs, with the oldest and the newest version.</param>
/// <param name="FinalizedFeatures">The features that the cluster has agreed on, with their levels (KIP-584).</param>
/// <param name="AnswerVersion">The version of ApiVersions that it was said in.</param>
/// <param name="ThrottleMilliseconds">How long it wants the connection to pause.</param>
internal sealed record BrokerVersions(
    FrozenDictionary<ApiKey, (short Min, short Max)> Ranges,
    FrozenDictionary<string, short> FinalizedFeatures,
    short AnswerVersion,
    int ThrottleMilliseconds)
{
    public static BrokerVersions From(ApiVersionsResponse response, short version)
    {
        var ranges = new Dictionary<ApiKey, (short, short)>();
        foreach (ApiVersionRange range in response.ApiKeys)
        {
            ranges[range.Key] = (range.MinVersion, range.MaxVersion);
        }

        var features = new Dictionary<string, short>(StringComparer.Ordinal);
        foreach (FinalizedFeature feature in response.FinalizedFeatures)
        {
            features[feature.Name] = feature.MaxVersionLevel;
        }

        return new BrokerVersions(ranges.ToFrozenDictionary(), features.ToFrozenDictionary(StringComparer.Ordinal), version, response.ThrottleMilliseconds);
    }
}
