using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>AlterConfigs (key 33, versions 0-2): replaces everything that a topic has of its own.</summary>
internal sealed class AlterConfigsApi(BrokerServices services) : Api<AlterConfigsRequest, AlterConfigsResponse>
{
    private readonly TopicConfigChanges _changes = new(services);

    protected override ValueTask<AlterConfigsResponse?> HandleAsync(AlterConfigsRequest request, RequestContext context)
    {
        HashSet<(sbyte, string)> twice = [.. request.Resources.GroupBy(resource => (resource.ResourceType, resource.ResourceName))
            .Where(same => same.Count() > 1).Select(same => same.Key)];
        return new ValueTask<AlterConfigsResponse?>(new AlterConfigsResponse
        {
            Responses = [.. request.Resources.Select(resource => twice.Contains((resource.ResourceType, resource.ResourceName))
                ? Refused(resource, ErrorCode.InvalidRequest, "This resource stands more than once in the request.")
                : Alter(resource, request.ValidateOnly))],
        });
    }

    private AlterConfigsResourceResponse Alter(AlterConfigsResource resource, bool validateOnly)
    {
        if (_changes.Refusal(resource.ResourceType, resource.ResourceName) is { } refusal)
        {
            return refusal;
        }

        var settings = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (AlterableConfig config in resource.Configs)
        {
            if (config.Value is null)
            {
                return Refused(resource, ErrorCode.InvalidRequest, $"{config.Name} has no value. Leave it out to give the topic the default.");
            }

            if (!settings.TryAdd(config.Name, config.Value))
            {
                return Refused(resource, ErrorCode.InvalidRequest, $"{config.Name} stands more than once in the request.");
            }
        }

        return _changes.Replace(resource.ResourceName, settings, validateOnly);
    }

    private static AlterConfigsResourceResponse Refused(AlterConfigsResource resource, ErrorCode error, string message) =>
        TopicConfigChanges.Answer(resource.ResourceType, resource.ResourceName, error, message);
}
