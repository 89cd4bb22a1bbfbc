using System.Globalization;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DescribeConfigs (key 32, versions 0-4): the settings of topics and of the broker, and where their values come from.</summary>
internal sealed class DescribeConfigsApi(BrokerServices services) : Api<DescribeConfigsRequest, DescribeConfigsResponse>
{
    private readonly BrokerConfigs _broker = new(services.Configuration, services.Log.TopicDefaults);

    protected override ValueTask<DescribeConfigsResponse?> HandleAsync(DescribeConfigsRequest request, RequestContext context)
    {
        var response = new DescribeConfigsResponse();

        // Once each: an answer is many times as long as its question.
        foreach (DescribeConfigsResource resource in request.Resources.DistinctBy(resource => (resource.ResourceType, resource.ResourceName)))
        {
            DescribeConfigsResult result = Describe(resource, out IReadOnlyList<ConfigEntry> entries);
            result.ResourceType = resource.ResourceType;
            result.ResourceName = resource.ResourceName;
            result.Configs =
            [
                .. entries.Where(entry => resource.ConfigurationKeys is not { Count: > 0 } keys || keys.Contains(entry.Name, StringComparer.Ordinal))
                    .Select(entry => ToResult(entry, request)),
            ];
            response.Results.Add(result);
        }

        return new ValueTask<DescribeConfigsResponse?>(response);
    }

    private DescribeConfigsResult Describe(DescribeConfigsResource resource, out IReadOnlyList<ConfigEntry> entries)
    {
        entries = [];
        switch ((ConfigResourceType)resource.ResourceType)
        {
            case ConfigResourceType.Topic when TopicName.Fault(resource.ResourceName) is { } fault:
                return Refused(ErrorCode.InvalidTopic, fault);
            case ConfigResourceType.Topic when services.Topics.Find(resource.ResourceName) is null:
                return Refused(ErrorCode.UnknownTopicOrPartition, $"There is no topic {resource.ResourceName}.");
            case ConfigResourceType.Topic:
                entries = TopicConfigs.Describe(services.Log.TopicDefaults, services.Topics.SettingsOf(resource.ResourceName));
                return new DescribeConfigsResult { ErrorMessage = null };
            case ConfigResourceType.Broker when resource.ResourceName == BrokerConfiguration.NodeId.ToString(CultureInfo.InvariantCulture):
                entries = _broker.All;
                return new DescribeConfigsResult { ErrorMessage = null };
            case ConfigResourceType.Broker when resource.ResourceName.Length == 0:
                // What holds for all brokers unless one has its own: nothing can be set there.
                return new DescribeConfigsResult { ErrorMessage = null };
            case ConfigResourceType.Broker:
                return Refused(ErrorCode.InvalidRequest, $"There is one broker, {BrokerConfiguration.NodeId}, and none '{resource.ResourceName}'.");
            default:
                return Refused(ErrorCode.InvalidRequest, $"There are settings of topics (2) and of the broker (4), and none of type {resource.ResourceType}.");
        }
    }

    private static DescribeConfigsResourceResult ToResult(ConfigEntry entry, DescribeConfigsRequest request) => new()
    {
        Name = entry.Name,
        Value = entry.Value,
        ReadOnly = entry.IsReadOnly,
        IsDefault = entry.Source == ConfigSource.Default,
        ConfigSource = (sbyte)entry.Source,
        Synonyms = request.IncludeSynonyms ? [.. entry.Synonyms] : [],
        ConfigType = (sbyte)entry.Kind,
        Documentation = request.IncludeDocumentation ? entry.Documentation : null,
    };

    private static DescribeConfigsResult Refused(ErrorCode error, string message) => new() { ErrorCode = error, ErrorMessage = message };
}
