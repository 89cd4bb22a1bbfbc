using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>The APIs that this broker answers, by key.</summary>
internal sealed class ApiTable
{
    private readonly FrozenDictionary<ApiKey, Api> _byKey;

    public ApiTable(IEnumerable<Api> apis)
    {
        _byKey = apis.ToFrozenDictionary(api => api.Definition.Key);
        Definitions = [.. _byKey.Values.Select(api => api.Definition).OrderBy(definition => definition.Key)];
    }

    /// <summary>In the order of their keys.</summary>
    public IReadOnlyList<ApiDefinition> Definitions { get; }

    public Api? Find(ApiKey key) => _byKey.GetValueOrDefault(key);
}
