using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>IncrementalAlterConfigs (key 44, versions 0-1): changes some settings of a topic and leaves the others (KIP-339).</summary>
internal sealed class IncrementalAlterConfigsApi(BrokerServices services) : Api<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>
{
    private readonly TopicConfigChanges _changes = new(services);

    private enum Operation : sbyte
    {
        Set,
        Delete,
        Append,
        Subtract,
    }

    protected override ValueTask<IncrementalAlterConfigsResponse?> HandleAsync(IncrementalAlterConfigsRequest request, RequestContext context)
    {
        HashSet<(sbyte, string)> twice = [.. request.Resources.GroupBy(resource => (resource.ResourceType, resource.ResourceName))
            .Where(same => same.Count() > 1).Select(same => same.Key)];
        var response = new IncrementalAlterConfigsResponse();
        foreach (IncrementalAlterConfigsResource resource in request.Resources)
        {
            response.Responses.Add(twice.Contains((resource.ResourceType, resource.ResourceName))
                ? Refused(resource, ErrorCode.InvalidRequest, "This resource stands more than once in the request.")
                : Alter(resource, request.ValidateOnly));
        }

        return new ValueTask<IncrementalAlterConfigsResponse?>(response);
    }

    private AlterConfigsResourceResponse Alter(IncrementalAlterConfigsResource resource, bool validateOnly)
    {
        if (_changes.Refusal(resource.ResourceType, resource.ResourceName) is { } refusal)
        {
            return refusal;
        }

        // Of two clients that change settings of a topic at once, by this request or by AlterConfigs, neither loses its own.
        return services.Topics.WhileUnchanged(() =>
        {
            var settings = new Dictionary<string, string>(services.Topics.SettingsOf(resource.ResourceName), StringComparer.Ordinal);
            var changed = new HashSet<string>(StringComparer.Ordinal);
            foreach (IncrementalAlterableConfig config in resource.Configs)
            {
                if (!changed.Add(config.Name))
                {
                    return Refused(resource, ErrorCode.InvalidRequest, $"{config.Name} stands more than once in the request.");
                }

                if (Apply(config, settings) is (ErrorCode error, string message))
                {
                    return Refused(resource, error, message);
                }
            }

            return _changes.Replace(resource.ResourceName, settings, validateOnly);
        });
    }

    /// <summary>Makes one change, or says why it cannot be made.</summary>
    private (ErrorCode Error, string Message)? Apply(IncrementalAlterableConfig config, Dictionary<string, string> settings)
    {
        var operation = (Operation)config.ConfigOperation;
        if (config.Value is null && operation is not Operation.Delete)
        {
            return (ErrorCode.InvalidRequest, $"{config.Name} has no value. Delete it to give the topic the default.");
        }

        switch (operation)
        {
            case Operation.Set:
                settings[config.Name] = config.Value!;
                return null;
            case Operation.Delete:
                settings.Remove(config.Name);
                return TopicSettingTable.TryFind(config.Name, out _) ? null : (ErrorCode.InvalidConfig, TopicSettingTable.Unknown(config.Name));
            case Operation.Append or Operation.Subtract:
                return ChangeList(config, settings, isAppended: operation == Operation.Append);
            default:
                return (ErrorCode.InvalidRequest, $"There is no operation {config.ConfigOperation}; there are set (0), delete (1), append (2) and subtract (3).");
        }
    }

    private (ErrorCode Error, string Message)? ChangeList(IncrementalAlterableConfig config, Dictionary<string, string> settings, bool isAppended)
    {
        if (!TopicSettingTable.TryFind(config.Name, out TopicSetting? setting))
        {
            return (ErrorCode.InvalidConfig, TopicSettingTable.Unknown(config.Name));
        }

        if (setting.Kind != TopicSettingKind.List)
        {
            return (ErrorCode.InvalidConfig, $"Only a list can be appended to or subtracted from, and {config.Name} is none. Set it.");
        }

        List<string> words = Words(settings.GetValueOrDefault(config.Name) ?? setting.ValueIn(services.Log.TopicDefaults));
        List<string> given = Words(config.Value!);
        if (isAppended)
        {
            // What is there keeps its place.
            words.AddRange(given.Except(words, StringComparer.Ordinal));
        }
        else
        {
            words.RemoveAll(given.Contains);
        }

        settings[config.Name] = string.Join(',', words);
        return null;
    }

    private static List<string> Words(string list) => [.. list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Distinct(StringComparer.Ordinal)];

    private static AlterConfigsResourceResponse Refused(IncrementalAlterConfigsResource resource, ErrorCode error, string message) =>
        TopicConfigChanges.Answer(resource.ResourceType, resource.ResourceName, error, message);
}
