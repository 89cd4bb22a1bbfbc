using System.Collections;
using System.Globalization;
using System.Text;

namespace Millrace.Kafka;

/// <summary>What records of the admin client print: collections by what is in them, as a record by itself would print the collection's type.</summary>
internal static class AdminText
{
    public static string Of(object? value)
    {
        switch (value)
        {
            case null:
                return "";
            case string text:
                return text;
            case IEnumerable items:
                return $"[{string.Join(", ", items.Cast<object?>().Select(Of))}]";
            case KafkaException failure:
                return $"{failure.GetType().Name}: {failure.Message}";
            default:
                return Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        }
    }

    /// <summary><c>type { name = value, ... }</c>, as a record prints itself.</summary>
    public static string Record(string type, params ReadOnlySpan<(string Name, object? Value)> members)
    {
        var text = new StringBuilder(type);
        string separator = " { ";
        foreach ((string name, object? value) in members)
        {
            text.Append(separator).Append(name).Append(" = ").Append(Of(value));
            separator = ", ";
        }

        return text.Append(" }").ToString();
    }
}
